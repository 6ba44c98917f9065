"""True files of a data set as tensorflow-datasets prepares it, in small, made without TensorFlow."""

import io

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


def write(data_dir, name, images, split="train"):
    """Images uint8 [N, H, W, C] with labels 0 .. 9 in turn, where `tfds.builder(name, data_dir)` looks for them."""
    builder = tfds.builder(name, data_dir=str(data_dir), file_format="array_record")
    folder = data_dir / name / str(builder.version)
    folder.mkdir(parents=True)
    template = naming.ShardedFileTemplate(
        data_dir=builder.data_path, dataset_name=name, split=split, filetype_suffix="array_record"
    )
    writer = ArrayRecordWriter(str(folder / f"{name}-{split}.array_record-00000-of-00001"), "group_size:1")
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
