"""CIFAR-10 as tensorflow-datasets prepares it, in small: true files, made without TensorFlow and read by the loader."""

import io
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tensorflow_datasets.core import naming
from tensorflow_datasets.core.splits import SplitDict, SplitInfo
from tensorflow_datasets.proto import tf_example_generated_pb2 as example_pb2

from jaxdiff.data import cifar10, pipeline


def png(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="png")
    return stream.getvalue()


@pytest.fixture
def prepared(tmp_path):
    """A data directory with five training images, and the images."""
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    builder = tfds.builder("cifar10", data_dir=str(tmp_path), file_format="array_record")
    folder = tmp_path / "cifar10" / str(builder.version)
    folder.mkdir(parents=True)
    template = naming.ShardedFileTemplate(
        data_dir=builder.data_path, dataset_name="cifar10", split="train", filetype_suffix="array_record"
    )
    writer = ArrayRecordWriter(str(folder / "cifar10-train.array_record-00000-of-00001"), "group_size:1")
    size = 0
    for i, image in enumerate(images):
        example = example_pb2.Example()
        example.features.feature["id"].bytes_list.value.append(f"train_{i:05d}".encode())
        example.features.feature["image"].bytes_list.value.append(png(image))
        example.features.feature["label"].int64_list.value.append(i % 10)
        record = example.SerializeToString()
        size += len(record)
        writer.write(record)
    writer.close()
    split = SplitInfo(name="train", shard_lengths=[len(images)], num_bytes=size, filename_template=template)
    builder.info.set_splits(SplitDict([split]))
    builder.info.write_to_directory(str(folder))
    return tmp_path, images


def test_prepared_images_are_read_without_tensorflow(prepared):
    folder, images = prepared
    source = cifar10.load("train", folder)
    assert len(source) == 5
    example = source[3]
    assert example["image"].dtype == np.float32
    np.testing.assert_array_equal(np.round((example["image"] + 1) * 127.5), images[3])
    assert example["label"] == 3
    batch = next(pipeline.batches(source, 5, seed=0))
    assert batch["image"].shape == (5, 32, 32, 3)
    assert sorted(batch["label"].tolist()) == [0, 1, 2, 3, 4]
    assert "tensorflow" not in sys.modules


def test_absent_data_set_says_how_to_prepare_it(tmp_path):
    with pytest.raises(ValueError, match=r"not prepared in .*download_and_prepare"):
        cifar10.load("train", tmp_path)
