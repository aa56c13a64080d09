"""Shows rooms.py failing on each thing that it is there to find: small crates made for the purpose."""

import contextlib
import io
import pathlib
import tempfile
import unittest

import rooms

GOOD = {
    "lib.rs": "mod low; mod high; pub use high::Top;",
    "low/mod.rs": "mod a; mod b; pub(crate) use a::A; pub(crate) use b::B;",
    "low/a.rs": "pub(crate) struct A; // crate::high::Top in a comment is no import",
    "low/b.rs": "use super::A; pub(crate) struct B(A);",
    "high.rs": "use crate::low::{A, B as Bee}; pub struct Top(A, Bee);\n#[cfg(test)]\nmod tests { use super::*; }",
}
TABLE = [("low", ["low"], []), ("high", ["high.rs"], ["low"]), ("front", ["lib.rs"], [])]


def errors_of(files, table):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        with contextlib.redirect_stdout(io.StringIO()):
            return rooms.check("made", folder, [rooms.Room(*row) for row in table], False)


class Rooms(unittest.TestCase):
    def refused(self, words, files=(), table=TABLE):
        errors = errors_of(GOOD | dict(files), table)
        self.assertTrue(any(words in error for error in errors), f"{words!r} is not among {errors}")

    def test_a_good_crate_passes(self):
        self.assertEqual(errors_of(GOOD, TABLE), [])

    def test_an_arrow_up(self):
        for text in [
            "use crate::high::Top; pub(crate) struct A(Top);",
            "pub(crate) struct A(crate::high::Top);",
            "use crate::{high::Top as T}; pub(crate) struct A(T);",
            "use crate::high; pub(crate) struct A(high::Top);",
            "use super::super::high::Top; pub(crate) struct A(Top);",
            "use crate::Top; pub(crate) struct A(Top);",
        ]:
            self.refused("low does not use high", {"low/a.rs": text})

    def test_a_circle_of_files_across_rooms(self):
        table = [("low", ["low"], ["high"]), TABLE[1], TABLE[2]]
        files = {"low/a.rs": "pub(crate) struct A(Option<crate::high::Top>);"}
        self.refused("files in a circle: high.rs, low/a.rs", files, table)
        self.refused("rooms in a circle: high, low", files, table)

    def test_a_table_that_is_not_true(self):
        self.refused("is in no room", {"new.rs": "", "lib.rs": "mod low; mod high; mod new;"})
        self.refused("which is not there", table=TABLE + [("gone", ["gone.rs"], [])])
        self.refused("nothing there imports from it", table=[("low", ["low"], []), ("high", ["high.rs"], ["low", "front"]), TABLE[2]])


if __name__ == "__main__":
    unittest.main(argv=["test_rooms.py", "--quiet"])
