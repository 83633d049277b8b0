"""Counts and lists of names in sentences."""

from lors_det.data.words import are, counted, have, listed


def test_words() -> None:
    assert [counted(number, "box") for number in (0, 1, 2000)] == ["0 boxes", "1 box", "2,000 boxes"]
    assert [counted(2, thing) for thing in ("image", "category", "class")] == ["2 images", "2 categories", "2 classes"]
    assert (have(1), have(2), are(1), are(0)) == ("has", "have", "is", "are")


def test_names_with_commas_can_be_told_apart() -> None:
    assert listed(["cat", "dog, small", " cow"]) == "cat, 'dog, small', ' cow'"
