"""Evaluations of a run beyond its pixels: ELBO and likelihood, and the 50,000-image protocol of FID.

`elbo` and `likelihood` give bits/dim of held-out data. `inception` runs the protocol: `sample_cache` draws what is
missing, `inception_features` embeds drawn and real images, `inception_metrics` compares them.

To add a metric of InceptionV3's features, add its row to `inception_metrics.METRICS`; to add another evaluation, write
its file, and its flag in `experiments.evaluate`.
"""
