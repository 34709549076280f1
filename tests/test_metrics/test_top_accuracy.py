"""Top-k accuracy by hand, and what is refused."""

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from mmdistill_dense.metrics import TopAccuracy

SCORES = [
    [0.5, 0.3, 0.2, 0.0],
    [0.5, 0.3, 0.2, 0.0],
    [0.1, 0.2, 0.3, 0.4],
    [0.1, 0.2, 0.3, 0.4],
]
#: Their places, from 0: 0, 1, 3, 2.
LABELS = [0, 1, 0, 1]


def samples(scores=SCORES, labels=LABELS):
    return [
        BaseDataElement(
            pred_scores=torch.tensor(s), gt_label=torch.tensor([label])
        )
        for s, label in zip(scores, labels, strict=True)
    ]


def judged(batches, size=None, **settings):
    evaluator = Evaluator(dict(type='mmdistill_dense.TopAccuracy', **settings))
    for batch in batches:
        evaluator.process(data_samples=batch)
    return evaluator.evaluate(size or sum(map(len, batches)))


def test_by_hand_over_several_batches():
    several = samples()
    assert judged([several[:3], several[3:]], topk=(1, 2, 4)) == {
        'accuracy/top1': 25.0,
        'accuracy/top2': 50.0,
        'accuracy/top4': 100.0,
    }


def test_what_a_distributed_sampler_repeats_counts_once():
    several = samples()
    found = judged([several, several[:1]], size=4, topk=(1,))
    assert found == {'accuracy/top1': 25.0}


def test_refuses_more_than_the_classes():
    with pytest.raises(
        ValueError, match=r'number of classes, 4.* topk=\(1,\)'
    ):
        judged([samples()])


@pytest.mark.parametrize('topk', [(), 5, (0,), (1.0,), '15'])
def test_refuses_what_is_no_list_of_numbers(topk):
    with pytest.raises(ValueError, match=r'topk must be .* integer'):
        TopAccuracy(topk=topk)
