"""What goes with a creative's text: read, written, and left out where a log has none."""

import msgspec
import pytest

from streams.errors import SchemaError
from streams.events import AdDetails, Creative, decode, encode

BEFORE = (
    b'{"type":"creative","id":"a","placement":"home","parts":{"headline":"Hi"},"status":"live",'
    b'"timestamp_ms":1,"features":{},"reason":null,"lineage":{},"v":1}'
)
AD = AdDetails(
    final_url="https://example.org/shoes?a=b",
    display_path=("shoes", "light"),
    call_to_action="SHOP_NOW",
    image="shoe.png",
    pins={"headline_1": 1, "description_2": 2},
    booked={"Campaign": "Spring"},
)


def test_a_creative_from_before_there_were_details_reads_and_writes_as_it_did():
    assert encode(decode(BEFORE)) == BEFORE


def test_details_round_trip():
    creative = msgspec.structs.replace(decode(BEFORE), ad=AD)
    assert isinstance(creative, Creative)
    assert decode(encode(creative)) == creative


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ('{"final_url":""}', "final_url"),
        ('{"display_path":["a","b","c"]}', "display_path"),
        ('{"pins":{"headline_1":0}}', "pins"),
    ],
)
def test_details_that_cannot_be_are_refused(details, why):
    with pytest.raises(SchemaError, match=why):
        decode(BEFORE.replace(b'"v":1', b'"ad":%s,"v":1' % details.encode()))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("javascript:alert(1)", "https://"),
        ("example.org", "https://"),
        ("https://", "https://"),
        ("https://a b.org", "white space"),
    ],
)
def test_an_address_that_cannot_be_clicked_is_told(address, why):
    assert why in (AdDetails(final_url=address).problem() or "")


@pytest.mark.parametrize("address", [None, "https://example.org", "HTTP://例え.jp/靴?a=b#c"])
def test_an_address_that_can_be_is_none(address):
    assert AdDetails(final_url=address).problem() is None
