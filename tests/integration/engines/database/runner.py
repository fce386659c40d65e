"""A test runner for Django that guards every test, in this process or in the workers of ``--parallel``."""

from django.test.runner import DiscoverRunner, ParallelTestSuite, RemoteTestResult, RemoteTestRunner

from leakguard.runner import GuardedRunner, ResultMixin


class WorkerResult(ResultMixin, RemoteTestResult):
    pass


class WorkerRunner(RemoteTestRunner):
    resultclass = WorkerResult


class WorkerSuite(ParallelTestSuite):
    runner_class = WorkerRunner


class Runner(DiscoverRunner):
    parallel_test_suite = WorkerSuite

    def run_suite(self, suite, **kwargs):
        if not isinstance(suite, WorkerSuite):
            self.test_runner = GuardedRunner
        return super().run_suite(suite, **kwargs)
