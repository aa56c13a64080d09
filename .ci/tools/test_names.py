"""Shows names.py finding a name that stands for two things: small texts made for the purpose."""

import contextlib
import io
import pathlib
import tempfile
import unittest

import names

SEAM = "".join(f"struct {path} {{ private fields }}\n" for paths in names.SEAM.values() for path in sorted(paths))


class Names(unittest.TestCase):
    def errors(self, **texts):
        with tempfile.TemporaryDirectory() as folder:
            for library, text in texts.items():
                (pathlib.Path(folder) / f"{library}.txt").write_text(text)
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                failed = names.main([folder])
        found = [line.strip() for line in said.getvalue().splitlines() if "error: " in line]
        self.assertEqual(failed, 1 if found else 0)
        return found

    def test_re_exports_members_and_functions_are_no_second_names(self):
        one = "#[must_use] struct one::mig::Reply { private fields }\nfn one::Reply()\ntype one::Machine::State: Copy\ntrait one::Machine: Sized\n"
        two = "use two::Reply = one::mig::Reply\ntrait two::Rewriter\ntype two::Rewriter::State: Copy\nimpl Copy for one::mig::Reply\n"
        self.assertEqual(self.errors(one=one + SEAM, two=two), [])

    def test_a_name_of_two_things_is_an_error_in_one_library_and_in_two(self):
        for second in ("enum two::Machine", "#[non_exhaustive] enum one::deep::Machine", "type two::Machine = u8", "unsafe trait two::a::Machine: Copy"):
            found = self.errors(one="trait one::Machine: Sized\n" + SEAM, two=second + "\n")
            self.assertEqual(len(found), 1, second)
            self.assertIn("Machine names one::Machine and ", found[0].replace("one::deep::Machine and one::Machine", "one::Machine and "))

    def test_an_exception_that_is_gone_is_an_error(self):
        self.assertIn("no longer declared so", self.errors(one="trait one::Machine: Sized\n")[0])


if __name__ == "__main__":
    unittest.main(verbosity=0)
