"""What a package's XML says: read without harm, refused when it is not what it should be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kspsign.authenticode.appx.block_map import read_block_map
from kspsign.authenticode.appx.content_types import read_content_types
from kspsign.authenticode.appx.manifest import read_manifest
from kspsign.authenticode.appx.names import plain
from support.formats.appx_samples import TYPES_NAMESPACE, content_types

MAP = '<BlockMap xmlns="http://schemas.microsoft.com/appx/2010/blockmap" HashMethod="http://www.w3.org/2001/04/xmlenc#sha256">{}</BlockMap>'
BOMB = '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY c "&a;&a;&a;">]><b>&c;</b>'
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]><b>&a;</b>'


def read_any_manifest(data: bytes) -> object:
    return read_manifest(data, bundle=False)


def read_any_block_map(data: bytes) -> object:
    return read_block_map(data, 9, 9)


@pytest.mark.parametrize("read", [read_any_block_map, read_content_types, read_any_manifest])
@pytest.mark.parametrize(
    "text", [BOMB, OUTSIDE, '<!DOCTYPE b SYSTEM "http://127.0.0.1/b.dtd"><b/>', "", "<b>", "<a/><b/>", "<b/>", "&a;"]
)
def test_xml_that_is_none_of_a_package(read: Callable[[bytes], object], text: str) -> None:
    with pytest.raises(ValueError, match=r"document type|well-formed|root is|HashMethod"):
        read(text.encode())


@pytest.mark.parametrize("encoding", ["utf-7", "nonsense", "shift_jis"])
def test_an_encoding_that_expat_does_not_read(encoding: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_content_types(f'<?xml version="1.0" encoding="{encoding}"?><b/>'.encode())


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ('<File Name="a" Size="1" LfhSize="31"/><File Name="A" Size="1" LfhSize="31"/>', "twice"),
        ('<File Name="a" Size="-1" LfhSize="31"/>', "Size"),
        ('<File Name="a" Size="1"/>', "LfhSize"),
        ('<File Name="a" Size="1" LfhSize="31"><Block Hash="!"/></File>', "."),
        ('<File Name="a" Size="1" LfhSize="31"><Block Hash="AA==" Size="x"/></File>', "Block"),
    ],
)
def test_a_block_map_that_is_wrong(files: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_block_map(MAP.format(files).encode(), 9, 9)


def test_elements_of_other_namespaces_are_passed_over() -> None:
    more = '<b:FileHash xmlns:b="http://schemas.microsoft.com/appx/2021/blockmap" Hash="AA=="/>'
    files = f'<File Name="d\\a" Size="1" LfhSize="33"><Block Hash="AA=="/>{more}</File>'
    found = read_block_map(MAP.format(files).encode(), 9, 9).files
    assert list(found) == ["d/a"]
    assert found["d/a"].digests == [b"\0"]


@pytest.mark.parametrize(("most_files", "most_blocks", "words"), [(1, 9, "more files"), (2, 1, "more blocks")])
def test_a_block_map_with_more_than_the_package_is_not_read_to_its_end(
    most_files: int, most_blocks: int, words: str
) -> None:
    block = f'<Block Hash="{"A" * 43}="/>'
    files = "".join(f'<File Name="{name}" Size="1" LfhSize="35">{block}</File>' for name in "ab")
    assert len(read_block_map(MAP.format(files).encode(), 2, 2).files) == 2
    with pytest.raises(ValueError, match=words):
        read_block_map(MAP.format(files).encode(), most_files, most_blocks)


@pytest.mark.parametrize("prefix", ["", "ct"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_signatures_type_is_added_where_it_belongs(prefix: str, encoding: str) -> None:
    before = content_types(prefix).encode(encoding)
    after = read_content_types(before).with_signature()
    again = read_content_types(after)
    assert again.name_signature
    colon = f"{prefix}:" if prefix else ""
    added = f'<{colon}Override PartName="/AppxSignature.p7x" ContentType="application/vnd.ms-appx.signature"/>'
    assert after.replace(added.encode(), b"") == before
    assert again.fault(["AppxSignature.p7x", "a.exe", "deep/b.TXT", "[Content_Types].xml"]) is None


@pytest.mark.parametrize(
    "text",
    [content_types().replace("UTF-8", "UTF-16").encode("utf-16"), f'<Types xmlns="{TYPES_NAMESPACE}"/>'.encode()],
)
def test_content_types_without_a_place_for_the_signature(text: bytes) -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        read_content_types(text).with_signature()


def test_parts_without_a_type() -> None:
    override = '<Override PartName="/dir/no%20name" ContentType="a/b"/>'
    types = read_content_types(content_types(more=override).encode())
    assert types.fault(["a.exe", "dir/no%20name"]) is None
    assert types.fault(["a.exe", "dir/other"]) == "dir/other has no content type"
    assert types.fault(["exe"]) == "exe has no content type"
    wrong = '<Override PartName="/AppxSignature.p7x" ContentType="a/b"/>'
    assert "another content type" in str(read_content_types(content_types(more=wrong).encode()).fault([]))
    with pytest.raises(ValueError, match="two"):
        read_content_types(content_types(more=override * 2).encode())


FOUNDATION = "http://schemas.microsoft.com/appx/manifest/foundation/windows10"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<Package></Package>", "Identity"),
        ('<Package><Identity Publisher=""/></Package>', "Identity"),
        ('<Package><Identity Publisher="a"/><Identity Publisher="b"/></Package>', "Identity"),
        ('<Package><x><Identity Publisher="a"/></x></Package>', "Identity"),
        (f'<Package><Identity Publisher="{"a" * 9000}"/></Package>', "Identity"),
        ('<Bundle><Identity Publisher="a"/></Bundle>', "root"),
    ],
)
def test_a_manifest_without_one_publisher(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_manifest(text.replace(">", f' xmlns="{FOUNDATION}">', 1).encode(), bundle=False)


def test_a_bundles_packages_are_those_inside_it() -> None:
    text = (
        '<Bundle xmlns="http://schemas.microsoft.com/appx/2013/bundle">'
        '<Identity Publisher="CN=a &amp; b"/><Packages><Package FileName="d\\x.msix" Offset="50" Size="7"/>'
        '<Package FileName="elsewhere.msix"/></Packages></Bundle>'
    )
    manifest = read_manifest(text.encode(), bundle=True)
    assert manifest.publisher == "CN=a & b"
    assert [(package.name, package.offset, package.size) for package in manifest.packages] == [("d/x.msix", 50, 7)]
    with pytest.raises(ValueError, match="Offset"):
        read_manifest(text.replace('"50"', '"x"').encode(), bundle=True)


@pytest.mark.parametrize("name", ["a%2F..%2Fb", "%2e%2e/b", "a//b", "a%5Cb", "a%00", "a%FF", ".", "a/./b"])
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        plain(name)
