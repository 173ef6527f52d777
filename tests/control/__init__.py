import pytest

# A test that is one of both databases: see `each_database` in conftest.
both = pytest.mark.usefixtures("each_database")
