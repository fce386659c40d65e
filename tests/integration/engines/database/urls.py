"""No page at all: every request is a 404."""

urlpatterns = []
