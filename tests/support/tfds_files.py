"""True files of a data set as tensorflow-datasets prepares it, in small, made without TensorFlow."""

import io
import struct
from pathlib import Path

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tensorflow_datasets.core import naming
from tensorflow_datasets.core.splits import SplitDict, SplitInfo
from tensorflow_datasets.proto import tf_example_generated_pb2 as example_pb2


def png(image):
    stream = io.BytesIO()
    Image.fromarray(image.squeeze()).save(stream, format="png")
    return stream.getvalue()


class TFRecordWriter:
    """Length, its checksum, content, its checksum: CRC-32C, turned and shifted."""

    def __init__(self, path, _):
        self.path, self.content = Path(path), b""

    def write(self, record):
        length = struct.pack("<Q", len(record))
        self.content += length + self.checksum(length) + record + self.checksum(record)

    def checksum(self, content):
        crc = 0xFFFFFFFF
        for byte in content:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        crc ^= 0xFFFFFFFF
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    def close(self):
        self.path.write_bytes(self.content)


WRITERS = {"array_record": ArrayRecordWriter, "tfrecord": TFRecordWriter}


def write(data_dir, name, images, split="train", form="array_record", classes=None):
    """Images uint8 [N, H, W, C] with labels 0 .. 9 in turn, where `tfds.builder(name, data_dir)` looks for them."""
    builder = tfds.builder(name, data_dir=str(data_dir), file_format=form)
    if classes:
        builder.info.features["label"].names = classes
    folder = data_dir / name / str(builder.version)
    folder.mkdir(parents=True)
    template = naming.ShardedFileTemplate(
        data_dir=builder.data_path, dataset_name=name, split=split, filetype_suffix=form
    )
    writer = WRITERS[form](str(folder / f"{name}-{split}.{form}-00000-of-00001"), "group_size:1")
    size = 0
    for i, image in enumerate(images):
        example = example_pb2.Example()
        if "id" in builder.info.features:
            example.features.feature["id"].bytes_list.value.append(f"{split}_{i:05d}".encode())
        example.features.feature["image"].bytes_list.value.append(png(image))
        example.features.feature["label"].int64_list.value.append(i % 10)
        record = example.SerializeToString()
        size += len(record)
        writer.write(record)
    writer.close()
    info = SplitInfo(name=split, shard_lengths=[len(images)], num_bytes=size, filename_template=template)
    builder.info.set_splits(SplitDict([info]))
    builder.info.write_to_directory(str(folder))
