"""`pinflow run`, whole: from pictures in a folder or on a site to a release."""

from __future__ import annotations


def test_a_second_run_makes_no_new_data_version(house):
    before = house.versions()
    ran = house.run()
    assert ran.failed == {}
    assert house.versions() == before
    assert set(ran.seconds) == {"pins"}
