"""Any list of byte strings comes back from its records, in any order and company."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_records import SHA, file_of, memory_codec, records_of

from regrow.predict.record_codec import FORMS, RecordCodec
from regrow.predict.record_file import RecordReader

__all__ = ["memory_codec"]  # a fixture

like_lines = st.builds(
    lambda user, rest: b'{"user":%d,"page":"%s' % (user, rest), st.integers(0, 99), st.binary(max_size=20)
)
records = st.lists(st.one_of(st.binary(max_size=60), like_lines), max_size=12)


@given(records=records, form=st.sampled_from(FORMS), data=st.data())
def test_any_records_come_back_in_any_order(
    memory_codec: RecordCodec, records: list[bytes], form: tuple[bytes, bool], data: st.DataObject
) -> None:
    codec = memory_codec.with_form(form)
    coded = codec.encode_many(records)
    order = data.draw(st.permutations(range(len(records))))
    assert codec.decode_many([coded[i] for i in order]) == [records[i] for i in order]


@given(records=records, open_line=st.booleans(), checksum=st.integers(0, 4))
def test_any_records_come_back_from_a_file(
    memory_codec: RecordCodec, records: list[bytes], open_line: bool, checksum: int
) -> None:
    stored = file_of(memory_codec.checked(checksum), records, open_line=open_line)
    assert records_of(memory_codec, stored) == records
    reader = RecordReader(io.BytesIO(stored), "file")
    codec = reader.codec(memory_codec, SHA)
    for place, record in enumerate(records, 1):
        assert reader.record(codec, place) == record
