"""Files made to fill the memory, to take for ever, or just broken: one clear error each, and nothing is made first."""

import io
import json
import os
import struct
import zipfile

import pytest
import torch
from animatelcm.motion import position_tables
from animatelcm.motion.files import MotionFileError, read_motion_file
from animatelcm.motion.lora import changes, read_motion_lora
from animatelcm.motion.module import MotionConfig, MotionModule
from animatelcm.motion.name_patterns import NamePatterns, PatternError
from animatelcm.tests.motion import loras_by_hand as by_hand
from animatelcm.tests.motion import mutations
from animatelcm.tests.motion.files_by_hand import KEY, T2V, V2, animatediff, save, table

with torch.device("meta"):
    SHAPES = {key: w.shape for key, w in MotionModule(MotionConfig(channels=(32, 64, 32, 64))).state_dict().items()}
PAIRS = by_hand.pairs(SHAPES)
TABLE = KEY.replace("to_k.weight", "pos_encoder.pe")


def read_lora(path):
    return changes(read_motion_lora(path), SHAPES)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(("read", "tensors", "metadata"), [
    (read_motion_file, animatediff(frames=8), {"animatelcm.family": "own"}),
    (read_motion_file, T2V, {}),
    (read_lora, by_hand.kohya(PAIRS, 3.0), {}),
    (read_lora, by_hand.peft(PAIRS), by_hand.adapter_metadata()),
], ids=["motion", "AnimateLCM", "kohya", "PEFT"])
@pytest.mark.filterwarnings("ignore")
def test_a_broken_file_is_read_or_refused(tmp_path, seed, read, tensors, metadata):
    path, _ = mutations.write_mutation(tensors, metadata, tmp_path, seed)
    try:
        read(path)
    except MotionFileError as error:
        assert path.name in str(error) and len(str(error)) < 800 and "\n" not in str(error)


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(("value", "message"), [
    (Calls(bytearray, 2**30), r"calls (__builtin__|builtins)\.bytearray"),
    (Calls(torch.FloatTensor, 2**28), r"calls torch\.FloatTensor"),
    (torch.ones(64, 64).to_sparse(), "calls torch._utils._rebuild_sparse"),
    (torch.zeros(64, 64, device="meta"), "calls torch._utils._rebuild_meta"),
    (torch.quantize_per_tensor(torch.ones(64, 64), 0.1, 0, torch.qint8), "calls torch._utils._rebuild_qtensor"),
    (torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), "calls torch._utils._rebuild_nested"),
    (torch.zeros(1).expand(2**16, 2**16), r"fewer values than its shapes.*\(65536, 65536\), of 4 bytes"),
])
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("old_format", [False, True])
def test_what_is_no_plain_tensor_is_refused_before_it_is_made(tmp_path, value, message, old_format, monkeypatch):
    if old_format and isinstance(value, torch.Tensor) and value.is_nested:
        pytest.skip("the old format cannot hold it")
    path = tmp_path / "a.ckpt"
    torch.save(T2V | {KEY: value}, path, _use_new_zipfile_serialization=not old_format)
    if "calls" in message:
        monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("it was loaded"))
    with pytest.raises(MotionFileError, match=rf"a\.ckpt .*{message}"):
        read_motion_file(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("read", [read_motion_file, read_motion_lora])
def test_nothing_in_a_pickle_is_run_whatever_its_protocol(tmp_path, read, old_format, protocol):
    """From the fourth on a pickle puts the name of what it calls together from texts."""
    path, marker = tmp_path / "a.ckpt", tmp_path / "it_ran"
    torch.save(T2V | {KEY: Calls(os.mkdir, str(marker))}, path, pickle_protocol=protocol,
               _use_new_zipfile_serialization=not old_format)
    with pytest.raises(MotionFileError, match=r"a\.ckpt "):
        read(path)
    assert not marker.exists()
    # The trap works: this is what it would have done.
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_many_views_of_one_storage_are_refused(tmp_path):
    shared = torch.zeros(64, 64)
    with pytest.raises(MotionFileError, match="MB of memory from"):
        read_motion_file(save(tmp_path / "a.ckpt", {f"x{i}": shared for i in range(1000)}))


def repacked(path, compression, extra=b""):
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content + (extra if name.endswith("/data/0") else b""))
    return path


def test_an_archive_that_unpacks_to_much_more_is_not_unpacked(tmp_path, monkeypatch):
    path = repacked(save(tmp_path / "a.ckpt", T2V), zipfile.ZIP_DEFLATED, bytes(2**26))
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("it was loaded"))
    with pytest.raises(MotionFileError, match=r"a\.ckpt would take .* MB of memory from"):
        read_motion_file(path)


def test_an_archive_that_was_zipped_again_is_read(tmp_path):
    read_motion_file(repacked(save(tmp_path / "a.ckpt", T2V), zipfile.ZIP_DEFLATED))


def test_a_pickle_that_never_ends_is_not_read_to_its_end(tmp_path, monkeypatch):
    from animatelcm.motion import pickles
    monkeypatch.setattr(pickles, "LARGEST_PICKLE", 1000)
    for old_format in (False, True):
        torch.save(T2V, tmp_path / "a.ckpt", _use_new_zipfile_serialization=not old_format)
        with pytest.raises(MotionFileError, match=r"more than 1000 bytes"):
            read_motion_file(tmp_path / "a.ckpt")


@pytest.mark.parametrize(("metadata", "message"), [
    ({"animatelcm.max_frames": "1000000"}, "max_frames is 1000000; expected .* 1 to 1024"),
    ({"animatelcm.max_frames": "9" * 5000}, "max_frames is 9999"),
    ({"animatelcm.max_frames": "\u0661"}, "max_frames is"),
    ({"animatelcm.heads": "1000000"}, "heads is 1000000; expected .* 1 to 64"),
])
def test_no_tables_are_made_that_metadata_ask_for(tmp_path, metadata, message, monkeypatch):
    monkeypatch.setattr(position_tables, "sinusoid", lambda *args: pytest.fail("a table was made"))
    with pytest.raises(MotionFileError, match=message) as error:
        read_motion_file(save(tmp_path / "a.safetensors", T2V, metadata))
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("odd", [
    table(2000, 64), table(32, 64).to(torch.int32), torch.zeros(2, 32, 64), torch.zeros(32, 64),
    table(32, 64).to(torch.complex64), table(32, 64).double() * 1e300])
def test_a_position_table_that_cannot_be_used_is_refused(tmp_path, odd):
    with pytest.raises(MotionFileError, match=r"position table|NaN or infinite"):
        read_motion_file(save(tmp_path / "a.ckpt", V2 | {TABLE: odd}))


def test_channels_without_values_make_no_module(tmp_path):
    tensors = {key: torch.zeros(2**40, 0) if tensor.shape[0] == 64 else tensor for key, tensor in T2V.items()}
    with pytest.raises(MotionFileError, match="1099511627776 channels; expected 1 to 8192"):
        read_motion_file(save(tmp_path / "a.ckpt", tensors))


@pytest.mark.parametrize("value", [1e300, -1e39])
def test_what_overflows_single_precision_is_infinite(tmp_path, value):
    tensors = T2V | {KEY: torch.full((64, 64), value, dtype=torch.float64)}
    with pytest.raises(MotionFileError, match="NaN or infinite"):
        read_motion_file(save(tmp_path / "a.ckpt", tensors))


@pytest.mark.parametrize("dtype", [torch.float8_e8m0fnu, torch.complex64, torch.bool, torch.uint16])
def test_numbers_of_a_type_that_no_weights_have_are_refused(tmp_path, dtype):
    with pytest.raises(MotionFileError, match=rf"wrong tensor: .*{dtype}"):
        read_motion_file(save(tmp_path / "a.safetensors", T2V | {KEY: torch.zeros(64, 64).to(dtype)}))


def test_parts_of_several_precisions_are_joined(tmp_path):
    mixed = T2V | {KEY: T2V[KEY].to(torch.float8_e4m3fn), KEY.replace("to_k", "to_q"): T2V[KEY].half()}
    weights = read_motion_file(save(tmp_path / "a.safetensors", mixed)).weights
    assert weights["down_blocks.1.motion_modules.0.attentions.1.to_qkv.weight"].dtype == torch.float32


@pytest.mark.parametrize("length", [2**24 + 1, 2**40, 2**64 - 1])
def test_a_huge_header_is_named(tmp_path, length):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length) + b'{"a":' + bytes(100))
    with pytest.raises(MotionFileError, match=rf"damaged safetensors file of 11. bytes: .* claims {length} bytes"):
        read_motion_file(tmp_path / "a.safetensors")


def test_a_name_under_two_prefixes_is_refused(tmp_path):
    with pytest.raises(MotionFileError, match=rf"1 tensors twice, under two prefixes, such as {KEY}"):
        read_motion_file(save(tmp_path / "a.ckpt", T2V | {f"module.{KEY}": T2V[KEY]}))


@pytest.mark.parametrize(("make", "message"), [
    (lambda path: path.mkdir(), "is a folder"),
    (lambda path: path.symlink_to(path.with_name("gone")), "is a link that leads nowhere: .*points to .*gone"),
    (lambda path: path.symlink_to(path), "is a link that leads nowhere"),
    (lambda path: os.mkfifo(path), "is a device or a pipe"),
])
@pytest.mark.parametrize("read", [read_motion_file, read_motion_lora])
def test_what_stands_in_the_place_of_a_file_is_named(tmp_path, make, message, read):
    make(tmp_path / "a.ckpt")
    with pytest.raises(MotionFileError, match=rf"a\.ckpt .*{message}"):
        read(tmp_path / "a.ckpt")


# Alpha.

@pytest.mark.parametrize(("alpha", "message"), [
    (torch.tensor(True), "of the type torch.bool"),
    (torch.tensor(1j), "of the type torch.complex64"),
    (torch.tensor(float("inf")), "damaged motion LoRA.*inf"),
    (torch.tensor(1e30), "no weights can bear"),
    (torch.tensor(1e300, dtype=torch.float64), "no weights can bear"),
])
def test_an_alpha_that_is_no_factor_is_refused(tmp_path, alpha, message):
    tensors = by_hand.kohya(PAIRS, 3.0)
    key = next(key for key in tensors if key.endswith(".alpha"))
    with pytest.raises(MotionFileError, match=message):
        read_motion_lora(save(tmp_path / "a.ckpt", tensors | {key: alpha}))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.uint16, torch.float16, torch.bfloat16])
def test_an_alpha_of_any_real_type_is_read(tmp_path, dtype):
    tensors = by_hand.kohya(PAIRS, 6.0)
    tensors |= {key: value.to(dtype) for key, value in tensors.items() if key.endswith("alpha")}
    lora = read_motion_lora(save(tmp_path / "a.safetensors", tensors))
    assert {pair.scale for pair in lora.pairs.values()} == {2.0}


@pytest.mark.parametrize("config", [
    "[" * 100_000, '{"lora_alpha": ' + "9" * 400 + "}", '{"lora_alpha": true}', '{"lora_alpha": 1e400}',
    '{"lora_alpha": [1]}',
    '{"lora_alpha": 3, "alpha_pattern": 7}', '{"lora_alpha": 3, "alpha_pattern": {"to_q": "x"}}'])
def test_metadata_of_another_kind_are_refused(tmp_path, config):
    with pytest.raises(MotionFileError, match=r"has (metadata that cannot|an alpha that is no)") as error:
        read_motion_lora(save(tmp_path / "a.safetensors", by_hand.peft(PAIRS), {"lora_adapter_metadata": config}))
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("pattern", [
    "(a+)+$", "(.*.*)*x", "a|b", "[a-z]+", "to_q{9}", "(?=a)b", "*", "a**", "\\", ".*" * 9, "a.*" + "b" * 300])
def test_a_pattern_that_is_more_than_a_name_is_not_run(tmp_path, pattern):
    metadata = by_hand.adapter_metadata(alpha_pattern={pattern: 6})
    with pytest.raises(MotionFileError, match="alpha_pattern of lora_adapter_metadata, .* is not understood"):
        read_motion_lora(save(tmp_path / "a.safetensors", by_hand.peft(PAIRS), metadata))


def test_patterns_are_matched_in_few_steps():
    """A regular expression of this kind takes longer than anybody lives."""
    patterns = NamePatterns({".*a" * 7 + "b": 1, r"\w*" * 7 + "c": 2, **{f"x{i}": 3 for i in range(5000)}})
    for _ in range(300):
        assert patterns.find("a" * 120, 0) == 0
    with pytest.raises(PatternError, match="17 patterns"):
        NamePatterns({f"a{i}.*": i for i in range(17)})


@pytest.mark.parametrize(("pattern", "matching", "others"), [
    ("to_q", ["to_q", "a.to_q"], ["a.xto_q", "to_q.a", "to_k"]),
    ("attn1.to_q", ["b.attn1.to_q"], ["b.attn1.to_k", "attn2.attn1"]),
    ("^down.to_q", ["down.to_q"], ["a.down.to_q"]),
    (r"attn1\.to_q", ["b.attn1.to_q"], ["b.attn2.to_q"]),
    (r"up_blocks\.\d+.*to_k", ["up_blocks.12.to_k", "a.up_blocks.1to_k"], ["up_blocks.x.to_k", "up_blocks.1.to_kb"]),
    (r"^a.?b", ["ab", "axb"], ["axxb", "c.ab"]),
    (r"\w+", ["a.b_1", "x"], ["a.", "a.-"]),
    (".*", ["anything.at.all", "x"], []),
])
def test_a_pattern_means_what_peft_means(pattern, matching, others):
    import re
    for name in matching + others:
        assert bool(re.match(rf"(.*\.)?({pattern})$", name)) == (name in matching), "the test is wrong"
        assert NamePatterns({pattern: 1}).find(name, 0) == (name in matching), name


def test_the_first_pattern_counts():
    assert NamePatterns({"b": 1, ".*": 2}).find("a.b", 0) == 1
    assert NamePatterns({".*": 2, "b": 1}).find("a.b", 0) == 2


def test_a_name_of_any_length_is_shown_in_part(tmp_path):
    with pytest.raises(MotionFileError) as error:
        read_motion_file(save(tmp_path / "a.ckpt", {"x" * 100_000 + "\n": torch.zeros(1)}))
    assert len(str(error.value)) < 500 and "\n" not in str(error.value)


def test_json_is_not_read_for_every_layer(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(json, "loads", lambda text, loads=json.loads: calls.append(text) or loads(text))
    read_motion_lora(save(tmp_path / "a.safetensors", by_hand.peft(PAIRS), by_hand.adapter_metadata()))
    assert len([text for text in calls if "lora_alpha" in text]) == 1


def test_an_archive_of_other_files_is_named(tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("readme.txt", "x")
    (tmp_path / "a.ckpt").write_bytes(data.getvalue())
    with pytest.raises(MotionFileError, match=r"zip archive of other files, such as readme\.txt"):
        read_motion_file(tmp_path / "a.ckpt")
