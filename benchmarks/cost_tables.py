"""Tables of what things cost, in seconds, bytes and operations, by benchmark."""

from benchmarks.tables import Found, figures, table, three


def sampler(found: Found) -> str:
    """Write what the sampling loop costs beside the network."""
    few, many = found["ancestral_megabytes"]
    return figures(
        ("18 Heun steps / 35 evaluations of the jitted denoiser", "<= 1.05", f"{found['steps_over_evaluations']:.3f}"),
        ("compile time, 180 steps / 18 steps", "within 20 %", f"{found['compile_ratio']:.3f}"),
        ("compile time, 1,000 ancestral steps / 10", "as fast", f"{found['ancestral_compile_ratio']:.3f}"),
        ("temporary memory of 1,000 and of 10 ancestral steps", "equal", f"{many:.2f} and {few:.2f} MB"),
    )


def unet(found: Found) -> str:
    """Write what CIFAR-10's network reaches of one convolution's speed."""
    head = ["program", "images/s", "GFLOP/s", "share of one 3x3 convolution's", "compiled in, s", "temporary, MB"]
    rows = [
        [
            *(name, three(row["images_per_second"]), f"{row['flops_per_second'] / 1e9:.0f}"),
            *(f"{row['share_of_convolution']:.2f}", f"{row['compile_seconds']:.0f}"),
            f"{row['temporary_megabytes']:.0f}",
        ]
        for name, row in found["results"].items()
    ]
    config = found["config"]
    says = f"In {config['dtype']}, batch {config['batch']}; {found['peak_gigabytes']:.1f} GB at the most."
    return f"{says}\n\n{table(head, rows)}"


def adversarial(found: Found) -> str:
    """Write a step of DDGAN's training and its passes."""
    parts = [
        [name, f"{1e3 * taken:.1f}", f"{found['flops'][name] / 1e9:.3f}"] for name, taken in found["seconds"].items()
    ]
    low, high = found["ratio_quartiles"]
    ratio = f"{found['ratio_of_seconds']:.3f} (quartiles {low:.3f}, {high:.3f})"
    goals = figures(
        ("a step over the sum of its passes: time", "within 10 %", ratio),
        ("the same: FLOPs", "within 10 %", f"{found['ratio_of_flops']:.3f}"),
    )
    return f"{goals}\n\n{table(['part', 'ms', 'GFLOP'], parts)}"


def throughput(found: Found) -> str:
    """Write images a second of whole experiments, and of data against training."""
    head = ["experiment", "image", "parameters", "batch", "training, images/s", "NFE", "at once", "sampling, images/s"]
    rows = [
        [
            *(name, "x".join(map(str, row["shape"])), f"{row['parameters']:,}", row["batch"]),
            *(three(row["training_images_per_second"]), row["evaluations"], row["sampled_at_once"]),
            three(row["sampling_images_per_second"]),
        ]
        for name, row in found["rows"].items()
    ]
    fed = [
        (f"images/s from the cache over those of training, {name}", ">= 3 x", f"{ratio:,.0f} x")
        for name, ratio in found["data_over_step"].items()
    ]
    rate = found["data_images_per_second"]
    fed += [("images/s from the cache, in the same run", "-", f"{rate:,.0f}: three times a step's {rate / 3:,.0f}")]
    return table(head, rows) + "\n\n" + figures(*fed)


def data(found: Found) -> str:
    """Write images a second by where they come from."""
    return table(["from", "images/s"], [[name, f"{rate:,}"] for name, rate in found["images_per_second"].items()])


def checkpoints(found: Found) -> str:
    """Write what a save costs the run."""
    low, high = (f"{1e3 * quartile:.0f}" for quartile in found["quartiles"])
    cost = f"{1e3 * found['seconds_a_save']:.0f} ms (quartiles {low}, {high}; {found['pairs']} pairs of blocks)"
    return figures(
        ("one save a minute: share of the time", "<= 2 %", f"{100 * found['share_at_one_a_minute']:.2f} %"),
        ("what a save costs the run", "-", cost),
        (
            "the call itself; the state",
            "-",
            f"{1e3 * found['call_seconds']:.0f} ms; {found['state_bytes'] / 1e6:.1f} MB",
        ),
    )


def memory(found: Found) -> str:
    """Write what XLA plans for a training step."""
    rows = [
        [name, f"{row['state'] / 1e6:,.0f}", f"{row['temporary'] / 1e6:,.0f}"] for name, row in found["rows"].items()
    ]
    return table(["configuration", "state, MB", "temporary, MB"], rows)


def scaling(found: Found) -> str:
    """Write a step's communication by the number of devices."""
    head = ["devices", "fsdp", "groups of reductions", "MB reduced", "all-gathers", "MB gathered"]
    rows = []
    for row in found["rows"]:
        gathers, gathered = row["collectives"].get("all-gather", [0, 0])
        reduced, state = (f"{row[name] / 1e6:.2f}" for name in ("gradient_bytes", "state_bytes"))
        exchanged = [row["gradient_groups"], reduced, gathers, f"{gathered / 1e6:.2f}"]
        rows.append([row["devices"], row["fsdp"], *exchanged, state, f"{row['compile_seconds']:.1f}"])
    return table([*head, "state a device, MB", "compiled in, s"], rows)


def faults(found: Found) -> str:
    """Write how many of each fault a run survived."""
    return table(["fault", "survived", "of"], [[k, v["survived"], v["of"]] for k, v in found["faults"].items()])
