"""What leakguard costs: ``python -m tests.bench``."""
