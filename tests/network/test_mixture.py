from dataclasses import replace

import pytest
from conftest import TINY_DRAFT, write_relatives

from stylize.assets import check_name, style_files
from stylize.errors import StyleFileError, UsageError
from stylize.files import digest
from stylize.network.mixture import Mixture, find_mixture, mix_headers
from stylize.network.style_file import replace_header
from stylize.network.style_header import read_header


def test_only_ratios_count_and_not_the_order():
    one, other = find_mixture("ink=1,woodblock=3"), find_mixture("woodblock=0.75,ink=0.25")
    assert one.name == other.name == "woodblock-0.75-ink-0.25"
    assert one.digest() == other.digest()
    assert one.shares == [0.75, 0.25]
    assert find_mixture("woodblock=0.7,ink=0.3").digest() != one.digest()
    assert find_mixture("woodblock=0.75,udnie=0.25").digest() != one.digest()


@pytest.mark.parametrize("text", ["ink", "ink=0.3", "ink=1,woodblock=0"])
def test_all_of_one_style_is_that_style(text):
    mixture = find_mixture(text)
    assert mixture.name == "ink"
    assert mixture.files == [style_files()["ink"]]
    assert mixture.digest() == digest(style_files()["ink"])
    assert mix_headers(mixture) == read_header(style_files()["ink"])


def test_a_long_name_is_cut_to_a_valid_one_of_its_own():
    several = dict.fromkeys([*style_files()][:8], 1.0)
    name = Mixture.of(several).name
    assert check_name(name) == name
    assert Mixture.of({**several, "woodblock": 2.0}).name != name


def test_its_text_makes_it_again(tmp_path):
    files = write_relatives(tmp_path, "one", "two", "three")
    odd = tmp_path / "a, b"
    odd.mkdir()
    moved = files[0].rename(odd / files[0].name)
    mixture = Mixture.of({str(moved): 0.1, str(files[1]): 0.3, str(files[2]): 0.7})
    assert find_mixture(str(mixture)) == mixture
    assert find_mixture(str(find_mixture(str(moved)))).files == [moved]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("woodblock=0.7,ink", "has no weight"),
        ("ink,woodblock=0.7", "no style named 'ink,woodblock'"),
        ("=1", "has no weight"),
        ("ink=", "the weight of ink is ''"),
        ("ink=half", "the weight of ink is 'half'"),
        ("ink=nan,woodblock=1", "the weight of ink is nan"),
        ("ink=-1,woodblock=2", "the weight of ink is -1"),
        ("ink=inf,woodblock=1", "the weight of ink is inf"),
        ("ink=0,woodblock=0", "all weights of the mix are 0"),
        ("ink=1,ink=2", "ink stands twice"),
        ("ink=1,wodblock=2", "no style named 'wodblock'"),
    ],
)
def test_what_is_no_mix_is_an_error_with_a_hint(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        find_mixture(text)
    assert caught.value.hint


def test_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    files = [*write_relatives(tmp_path, "one"), *write_relatives(tmp_path / "other", "one")]
    with pytest.raises(UsageError, match="two styles are called one"):
        Mixture.of({str(path): 1.0 for path in files})


def test_its_header_names_the_parts_with_their_pictures_and_licences(tmp_path):
    one, two = write_relatives(tmp_path, "one", "two")
    header = mix_headers(Mixture.of({str(one): 1, str(two): 3}))
    assert header.name == "two-0.75-one-0.25"
    assert [(picture.title, picture.weight) for picture in header.pictures] == [
        ("Picture 2", 0.75),
        ("Picture 1", 0.25),
    ]
    assert header.licence == "Licence 2 and Licence 1"
    assert [(part.name, share) for part, share in header.parts] == [("two", 0.75), ("one", 0.25)]


def test_networks_of_different_shapes_are_refused(tmp_path):
    one, two = write_relatives(tmp_path, "one", "two")
    replace_header(two, replace(read_header(two), network=TINY_DRAFT))
    with pytest.raises(StyleFileError, match="differ in shape"):
        mix_headers(Mixture.of({str(one): 1, str(two): 1}))
