"""Nobody offers the app to a network without a token."""

import pytest

from pinflow.errors import PinflowError
from pinflow.serving.run import check_address
from pinflow.serving.security import is_loopback
from pinflow.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_token(host):
    assert is_loopback(host)
    check_address(host, Settings(api_token=None))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.com", "", "2130706433"])
def test_any_other_address_needs_one(host):
    with pytest.raises(PinflowError, match="PINFLOW_API_TOKEN"):
        check_address(host, Settings(api_token=None))
    check_address(host, Settings(api_token="s3cret"))
