"""Tiny random models of each kind, and files for them to look at and listen to."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

WORDS = [
    *("a", "photo", "of", "red", "blue", "green", "table", "cup", "bag", "on", "the"),
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"),
]
LAYERS = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
EYE = LAYERS | {"image_size": 32, "patch_size": 16, "projection_dim": 16}
RED, GREEN, BLUE = (200, 30, 30), (50, 150, 60), (40, 80, 190)


@pytest.fixture(scope="session")
def captioner(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blip")
    tokenizer = word_tokenizer()
    mouth = LAYERS | {
        "vocab_size": len(WORDS),
        "encoder_hidden_size": 16,
        "max_position_embeddings": 64,
        "bos_token_id": WORDS.index("[DEC]"),
        "eos_token_id": WORDS.index("[SEP]"),
        "sep_token_id": WORDS.index("[SEP]"),
        "pad_token_id": WORDS.index("[PAD]"),
    }
    config = transformers.BlipConfig(text_config=mouth, vision_config=EYE, projection_dim=16)
    transformers.set_seed(1)
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    eye = transformers.BlipImageProcessorPil(size={"height": 32, "width": 32})
    transformers.BlipProcessor(eye, tokenizer).save_pretrained(folder)
    return str(folder)


def word_tokenizer():
    known = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocab=known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    return transformers.BertTokenizerFast(tokenizer_object=tokenizer, bos_token="[DEC]")


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = {token: number for number, token in enumerate([*alphabet, "<start>", "<end>"])}
    start, end = known["<start>"], known["<end>"]
    bytewise = Tokenizer(models.BPE(vocab=known, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", start), ("<end>", end)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        bos_token="<start>",
        eos_token="<end>",
        pad_token="<end>",
        model_max_length=77,
    )
    reader = LAYERS | {
        "vocab_size": len(known),
        "max_position_embeddings": 77,
        "bos_token_id": start,
        "eos_token_id": end,
        "pad_token_id": end,
    }
    config = transformers.CLIPConfig(text_config=reader, vision_config=EYE, projection_dim=16)
    transformers.set_seed(1)
    transformers.CLIPModel(config).save_pretrained(folder)
    eye = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    transformers.CLIPProcessor(eye, tokenizer).save_pretrained(folder)
    return str(folder)


HEARING = LAYERS | {
    "conv_dim": (16, 16),
    "conv_stride": (20, 16),
    "conv_kernel": (20, 16),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
    "pad_token_id": 0,
}


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    letters = folder / "letters.json"
    known = ["[PAD]", "[UNK]", "|", *"abcdefghijklmnopqrstuvwxyz"]
    letters.write_text(json.dumps({letter: number for number, letter in enumerate(known)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(
        str(letters), unk_token="[UNK]", pad_token="[PAD]", word_delimiter_token="|"
    )
    transformers.set_seed(1)
    config = transformers.Wav2Vec2Config(vocab_size=len(known), **HEARING)
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    ear = transformers.Wav2Vec2FeatureExtractor()
    transformers.Wav2Vec2Processor(ear, tokenizer).save_pretrained(folder)
    return str(folder)


SOUNDS = ("guitar", "rain")


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    transformers.set_seed(1)
    config = transformers.Wav2Vec2Config(
        id2label=dict(enumerate(SOUNDS)),
        label2id={name: number for number, name in enumerate(SOUNDS)},
        **HEARING,
    )
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "cup.png"
    Image.new("RGB", (60, 30), RED).save(file)
    return file


def make_film(file: Path, scenes, *, tone=False):
    """Writes a film of (colour, seconds) scenes, ten pictures a second, with a hum or none."""
    with av.open(str(file), "w") as film:
        pictures = film.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        sound = film.add_stream("aac", rate=16_000, layout="mono") if tone else None
        for colour, seconds in scenes:
            image = Image.new("RGB", (64, 64), colour)
            for _ in range(int(seconds * 10)):
                film.mux(pictures.encode(av.VideoFrame.from_image(image)))
        film.mux(pictures.encode())
        if sound is not None:
            film.mux(sound.encode(hum(16_000)))
            film.mux(sound.encode())
    return file


def make_sound(file: Path, seconds=1.0):
    with av.open(str(file), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=44_100, layout="mono")
        out.mux(stream.encode(hum(int(44_100 * seconds), rate=44_100, form="s16")))
        out.mux(stream.encode())
    return file


def hum(samples, *, rate=16_000, form="fltp"):
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate)
    data = wave.astype(np.float32) if form == "fltp" else (wave * 32_767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(data[None], format=form, layout="mono")
    frame.sample_rate = rate
    return frame
