#!/usr/bin/env python3
"""Compares the tokenizers of `cdt` with the library `tokenizers` on seeded texts.

    python Fuzzing/differential/compare_tokenizers.py [--cdt FILE] [--texts N] [--seed N] [--hours H] [--keep FOLDER]
    python Fuzzing/differential/compare_tokenizers.py --fixture Tests/LanguageTests/Fixtures/tokenizers

Builds tokenizers of every kind from a small made-up corpus (nothing is downloaded), makes odd texts, runs `cdt tokenize` on all
of them and prints every text whose numbers differ. Exit status 1 if there is one. With --hours it goes on with one seed after
another. --fixture writes small tokenizers, texts and the library's numbers, which the Swift tests read.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from charsmap import charsmap
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GPT4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
          r"|\s+(?!\S)|\s")
QWEN2 = GPT4.replace("{1,3}", "")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
            r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+"
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
HAN = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}&&[^\p{Han}]]+|\p{N}{1,3}|\s+|[^\s\p{L}\p{N}]+"

CORPUS = [
    "The quick brown fox jumps over the lazy dog. the cat sat on the mat; the film isn't bad, but it's dull!",
    "Hello, world! hello  world\n\n\thello\tworld 12345 67 890 3.14 -- we've they're he'd I'm I'll DON'T IT'S",
    "naïve café résumé Straße Łódź ñandú İstanbul ΣΑΣ σας Привет мир שלום عالم नमस्ते ไทย 한국어 日本語 你好世界 かな カナ",
    "😀😀 👩‍👩‍👧 ½² ١٢٣ Ⅷ ﬁ e\u0301 a\u0308 un##happy snake_case camelCase HTTPServer x=y+z; {a: [1, 2]} https://a.b/c?d=e&f=g",
    "unhappily unbelievable the there then other another running walked playing plays played do undo redo",
] * 4

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
POOLS = [
    LETTERS,
    " \t\n\r\x0b\x0c\x85\xa0\u1680\u2000\u2003\u200a\u2028\u2029\u202f\u205f\u3000",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»—–…“”‘’·§¶•€£¥°±×÷",
    "\x00\x01\x07\x08\x1b\x1f\x7f\x80\x8f\x9f\xad\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2066\ufeff\ufffc\ufffd",
    "éèêëàâäãåæçñöøœßüÿÀÉÎÕÜŁłżğİıŞşŠšŽžǅǆŉſKÅΩ",
    "\u0300\u0301\u0302\u0303\u0308\u030a\u0323\u0327\u0328\u0338\u0345\u034f\u05b0\u05bc\u064e\u0651\u093c\u094d\u0e34\u0e4d\u20dd\ufe0f\ufe00",
    "αβγδΑΣσςάΐЖжёЁйЙабвАБВאבגשׁابتثﻻﷺ٠١٢٣۴۵",
    "अआकखगक़ड़ািকখกขคำเแ၀ကខក",
    "你好世界漢字日本語㐀䶵豈﨎𠀀𪛖𫝀𬺰丽々〆〇ぁあんアンｶﾞｱ가각힣각ㄱ",
    "½²³¼①Ⅷⅷ㎏ﬁﬃ™℃ℵ㍿ｆｕｌｌ１２𝔘𝔫𝟘",
    "😀🥱🤏🦾👩👧👍🏽🏿❤☺♂\u200d\ufe0f🇩🇪🇫🏴\U000e0067\U000e007f",
    "\ud7ff\ue000\uf8ff\uffff\ufffe\U0001ffff\U000f0000\U0010ffff\u0378\u0380\u2fef\U0001f8ff\U000e0001",
    "ཀྲཱི྾ॐ᭄ᜀ᠎𑄮𑄧𑒻𝅘𝅥𝅮𑤸𑤸\U00011938",
]


def text(rng, specials):
    """One text, of one of several styles."""
    style = rng.random()
    if style < 0.15:
        words = rng.choice(CORPUS).split(" ")
        start = rng.randrange(len(words))
        return " ".join(words[start : start + rng.randrange(1, 9)])
    if style < 0.2:
        return rng.choice(POOLS[0]) * rng.choice([3, 30, 99, 100, 101, 300])
    if style < 0.24:
        return "".join(chr(c) for c in (rng.choice([rng.randrange(0x3000), rng.randrange(0x110000)])
                                        for _ in range(rng.randrange(1, 20))) if not 0xD800 <= c < 0xE000)
    parts = []
    for _ in range(rng.randrange(1, 12)):
        kind = rng.random()
        if kind < 0.25:
            parts.append(rng.choice(rng.choice(CORPUS).split(" ")))
        elif kind < 0.4:
            token = rng.choice(specials)
            parts.append(token if rng.random() < 0.7 else token.upper() if rng.random() < 0.5 else token[:-1])
        elif kind < 0.6:
            parts.append(rng.choice([" ", "  ", "", "\n", " \n ", "\t", "'s", "'LL", "'ſ", "1234", "▁", "Ġ", "##", "\r\n"]))
        else:
            pool = rng.choice(POOLS)
            parts.append("".join(rng.choice(pool) for _ in range(rng.randrange(1, 6))))
        if rng.random() < 0.3:
            parts.append(" ")
    return "".join(parts)


def train_bpe(tokenizer, size, special, alphabet=(), **more):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                                  initial_alphabet=list(alphabet), **more)
    tokenizer.train_from_iterator(CORPUS, trainer)


def train_pieces(tokenizer, size, special):
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=special, show_progress=False))


class Subject:
    """A tokenizer of the library, and the files of it that `cdt` reads."""

    def __init__(self, name, tokenizer, write=None):
        self.name, self.tokenizer, self.write = name, tokenizer, write

    def save(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        if self.write:
            self.write(folder)
        else:
            # Compact, each token on no line of its own: the files are small.
            document = json.loads(self.tokenizer.to_str())
            (folder / "tokenizer.json").write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")))


BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BYTES = pre_tokenizers.ByteLevel.alphabet


def bert(name, lower, strip, ideographs, files, size):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(True, ideographs, strip, lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    train_pieces(tokenizer, size, BERT)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])

    def write(folder):
        entries = sorted(tokenizer.get_vocab().items(), key=lambda e: e[1])
        (folder / "vocab.txt").write_text("".join(token + "\n" for token, _ in entries))
        (folder / "tokenizer_config.json").write_text(json.dumps(dict(
            tokenizer_class="BertTokenizer", do_lower_case=lower, strip_accents=strip,
            tokenize_chinese_chars=ideographs)))

    return Subject(name, tokenizer, write if files else None)


def byte_level(name, size, prefix=False, files=False, roberta=False, pattern=None, added=(), **settings):
    tokenizer = Tokenizer(models.BPE(**settings))
    if pattern is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    else:
        patterns = pattern if isinstance(pattern, list) else [pattern]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
            + [pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)])
    special = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["<|endoftext|>"]
    train_bpe(tokenizer, size, special, BYTES())
    if roberta:
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, prefix)
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_tokens(list(added))

    def write(folder):
        tokenizer.model.save(str(folder))
        configuration = dict(tokenizer_class="RobertaTokenizer" if roberta else "GPT2Tokenizer", add_prefix_space=prefix)
        if roberta:
            (folder / "added_tokens.json").write_text(json.dumps({"<mask>": tokenizer.token_to_id("<mask>")}))
            configuration["added_tokens_decoder"] = {
                str(tokenizer.token_to_id("<mask>")): dict(
                    content="<mask>", lstrip=True, rstrip=False, single_word=False, normalized=False, special=True)}
        (folder / "tokenizer_config.json").write_text(json.dumps(configuration))

    return Subject(name, tokenizer, write if files else None)


def unigram(name, normalizer, size, splitter, byte_fallback=False):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(CORPUS, trainers.UnigramTrainer(
        vocab_size=size, special_tokens=special, unk_token="<unk>", show_progress=False))
    if byte_fallback:
        document = json.loads(tokenizer.to_str())
        document["model"]["vocab"] += [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]
        document["model"]["byte_fallback"] = True
        tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return Subject(name, tokenizer)


def subjects(size=420):
    """Tokenizers of every kind, of about `size` tokens each."""
    flags = [
        AddedToken("NEWTOK", single_word=True), AddedToken("strip", lstrip=True, rstrip=True),
        AddedToken("Lower", normalized=True), AddedToken("[left]", lstrip=True, normalized=False),
        AddedToken("[right]", rstrip=True, normalized=False), AddedToken("the lazy", normalized=False),
        AddedToken("<|im_start|>", special=True), AddedToken("é", single_word=True, normalized=True),
    ]
    result = [
        bert("bert-lower", True, None, True, True, size), bert("bert-cased", False, None, True, False, size),
        bert("bert-keep", True, False, True, True, size), bert("bert-strip", False, True, False, True, size),
        byte_level("gpt2", size), byte_level("gpt2-files", size, files=True),
        byte_level("gpt2-prefix", size, prefix=True, files=True),
        byte_level("roberta", size, files=True, roberta=True), byte_level("gpt2-added", size, added=flags),
        byte_level("llama3", size, pattern=GPT4, ignore_merges=True), byte_level("cl100k", size, pattern=CL100K),
        byte_level("o200k", size, pattern=O200K), byte_level("deepseek", size, pattern=DEEPSEEK),
        byte_level("bloom", size, pattern=BLOOM), byte_level("han", size, pattern=HAN),
    ]
    qwen = byte_level("qwen2", size, pattern=QWEN2, added=[AddedToken("<|im_end|>", special=True, normalized=False)])
    qwen.tokenizer.normalizer = normalizers.NFC()
    result.append(qwen)

    result.append(unigram("unigram", normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]), 160, pre_tokenizers.Metaspace()))
    table = {"ﬁ": "fi", "e\u0301": "é", "\u00a0": " ", "\t": " ", "\n": " ", "½": "1/2", "Å": "Å", "ａ": "a", "\u200b": "",
             "\r\n": " ", "A": "a", "😀": ":)", "\u0600": "x", "か": "ka", "한": "han", "©": "(c)"}
    result.append(unigram("precompiled", normalizers.Sequence(
        [normalizers.Precompiled(charsmap(table)), normalizers.Strip(), normalizers.Replace(Regex(r"\s{2,}"), " ")]), 160,
        pre_tokenizers.Metaspace(prepend_scheme="first"), byte_fallback=True))

    llama = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    llama.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    train_bpe(llama, size, ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(0, 256, 1)], limit_alphabet=60)
    document = json.loads(llama.to_str())
    document["model"]["byte_fallback"] = True
    llama = Tokenizer.from_str(json.dumps(document))
    llama.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    result.append(Subject("llama2", llama))
    # Only half of the bytes have tokens, so that unknown characters and bytes meet.
    document = json.loads(llama.to_str())
    for byte in range(128, 256):
        document["model"]["vocab"][f"[0x{byte:02X}]"] = document["model"]["vocab"].pop(f"<0x{byte:02X}>")
    document["added_tokens"] = document["added_tokens"][:3]
    result.append(Subject("llama2-half", Tokenizer.from_str(json.dumps(document))))

    level = Tokenizer(models.WordLevel(unk_token="<unk>"))
    level.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()])
    level.pre_tokenizer = pre_tokenizers.Whitespace()
    level.train_from_iterator(CORPUS, trainers.WordLevelTrainer(special_tokens=["<unk>"], show_progress=False))
    result.append(Subject("words", level))

    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=12))
    pieces.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase()])
    pieces.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(False), pre_tokenizers.Punctuation("merged_with_previous")])
    train_pieces(pieces, size, BERT)
    pieces.post_processor = processors.Sequence([
        processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)),
        processors.TemplateProcessing(single="[MASK] $A", special_tokens=[("[MASK]", 4)])])
    result.append(Subject("pieces-mixed", pieces))

    clip = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    clip.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    clip.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CLIP), "removed", invert=True), pre_tokenizers.ByteLevel(False, use_regex=False)])
    train_bpe(clip, size + 200, ["<unk>", "<s>"], BYTES(), end_of_word_suffix="</w>")
    result.append(Subject("clip", clip))

    inside = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"))
    inside.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True), pre_tokenizers.Punctuation("contiguous")])
    train_bpe(inside, size, BERT, continuing_subword_prefix="##", limit_alphabet=70)
    result.append(Subject("inside", inside))

    spaced = Tokenizer(models.BPE())
    spaced.normalizer = normalizers.Sequence([normalizers.Strip(left=True, right=False), normalizers.NFKC()])
    spaced.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(",", "merged_with_next"), pre_tokenizers.Split(Regex(r"\d+"), "contiguous", invert=True),
        pre_tokenizers.CharDelimiterSplit("-"), pre_tokenizers.Metaspace(prepend_scheme="first", split=True),
        pre_tokenizers.FixedLength(4)])
    train_bpe(spaced, size, ["<a>"], limit_alphabet=60)
    spaced.add_tokens([AddedToken("the", single_word=True, rstrip=True)])
    result.append(Subject("spaced", spaced))

    bytes_first = Tokenizer(models.BPE())
    bytes_first.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.ByteLevel()])
    train_bpe(bytes_first, size, [], BYTES())
    bytes_first.enable_truncation(20, direction="left")
    bytes_first.enable_padding(direction="left", pad_id=3, pad_token="x", pad_to_multiple_of=8)
    result.append(Subject("truncated", bytes_first))
    return result


SPECIALS = BERT + [
    "<s>", "</s>", "<unk>", "<pad>", "<mask>", "<|endoftext|>", "NEWTOK", "strip", "Lower", "[left]", "[right]", "the lazy",
    "<|im_start|>", "<|im_end|>", "é", "the", "<0x41>", "<a>", " [MASK] ", "  <mask>  "]


def expected(tokenizer, text):
    try:
        return tokenizer.encode(text).ids
    except Exception as error:  # the library has no type for its failures
        return str(error)


def run(cdt, folder, path):
    """What `cdt` says of every text: numbers, or its complaint."""
    answer = subprocess.run([cdt, "tokenize", str(folder), "--file", str(path), "--json", "--quiet"],
                            capture_output=True, text=True, timeout=300)
    lines = [json.loads(line) for line in answer.stdout.split("\n") if line]
    if not lines:
        return answer.stderr
    return [line.get("ids", line.get("error")) for line in lines]


def compare(cdt, count, seed, keep):
    rng = random.Random(seed)
    texts = ["", " ", "\n"] + [text(rng, SPECIALS) for _ in range(count - 3)]
    path = keep / "texts.jsonl"
    path.write_text("".join(json.dumps(t) + "\n" for t in texts))
    differing = total = 0
    for subject in subjects():
        folder = keep / subject.name
        subject.save(folder)
        got = run(cdt, folder, path)
        if not isinstance(got, list):
            print(f"{subject.name}: {got}")
            differing += len(texts)
            continue
        assert len(got) == len(texts)
        bad = 0
        for t, ours in zip(texts, got):
            theirs = expected(subject.tokenizer, t)
            # Both may fail; their words need not agree.
            if ours != theirs and not (isinstance(ours, str) and isinstance(theirs, str)):
                bad += 1
                if bad <= 3:
                    print(f"{subject.name}: {ascii(t)}\n  library {theirs}\n  cdt     {ours}")
        print(f"{subject.name}: {len(texts)} texts, {bad} differ", flush=True)
        differing += bad
        total += len(texts)
    print(f"seed {seed}: {total} comparisons, {differing} differ", flush=True)
    return differing


def fixture(folder, count):
    rng = random.Random(2026)
    texts = ["", " ", "\n"] + [text(rng, SPECIALS)[:60] for _ in range(count - 3)]
    chosen = subjects(300)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "texts.json").write_text(json.dumps(texts, ensure_ascii=True, indent=0))
    answers = {}
    for subject in chosen:
        subject.save(folder / subject.name)
        answers[subject.name] = [a if isinstance(a := expected(subject.tokenizer, t), list) else None for t in texts]
    lines = [f"{json.dumps(name)}:[\n" + ",\n".join(json.dumps(a, separators=(",", ":")) for a in ids) + "]"
             for name, ids in answers.items()]
    (folder / "expected.json").write_text("{" + ",\n".join(lines) + "}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    parser.add_argument("--cdt", default=str(root / ".build/release/cdt"))
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=0)
    parser.add_argument("--keep", type=pathlib.Path, help="leave tokenizers and texts in this folder")
    parser.add_argument("--fixture", type=pathlib.Path, help="write the fixture of the Swift tests, and end")
    arguments = parser.parse_args()
    if arguments.fixture:
        fixture(arguments.fixture, 200)
        return
    end = time.monotonic() + arguments.hours * 3600
    seed, differing = arguments.seed, 0
    while True:
        with tempfile.TemporaryDirectory() as scratch:
            keep = arguments.keep or pathlib.Path(scratch)
            keep.mkdir(parents=True, exist_ok=True)
            differing += compare(arguments.cdt, arguments.texts, seed, keep)
        seed += 1
        if time.monotonic() >= end:
            break
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
