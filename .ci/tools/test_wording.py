"""Shows wording.py finding docs that begin with a question word, and words for persons."""

import unittest

import wording


class Wording(unittest.TestCase):
    def errors(self, text, path="a/src/lib.rs"):
        return list(wording.check(path, text))

    def test_a_first_line_with_a_question_word_is_an_error(self):
        for word in ("What", "How", "Who", "Why", "Where", "Whether", "Which"):
            for slashes in ("///", "//!", "    ///"):
                self.assertEqual(len(self.errors(f"fn f() {{}}\n{slashes} {word} it does.\n")), 1, (word, slashes))

    def test_later_lines_comments_and_longer_words_are_none(self):
        for text in ("/// Does it.\n/// What it does.\n", "// What it does.\n", "/// However it is.\n", "/// Does it.\n///\n/// How: so.\n"):
            self.assertEqual(self.errors(text), [], text)

    def test_a_module_doc_and_an_item_doc_have_a_first_line_each(self):
        self.assertEqual(len(self.errors("//! Does it.\n/// What it does.\n")), 1)

    def test_a_person_is_an_error_anywhere(self):
        self.assertEqual(len(self.errors("Somebody asks, and nobody waits.\n", "docs/a.md")), 1)
        self.assertEqual(self.errors("The body asks.\n", "docs/a.md"), [])


if __name__ == "__main__":
    unittest.main(argv=["test_wording.py", "--quiet"])
