"The two sizes of a campaign"
import pytest

def sizes(sample, whole):
    "That of the sample, which runs with all tests, and that of the whole"
    return pytest.mark.parametrize("size", [sample, pytest.param(whole, marks=pytest.mark.campaign)], ids=["sample", "whole"])
