import pytest

# So that what differs is shown.
pytest.register_assert_rewrite("tests.visits.compare")
