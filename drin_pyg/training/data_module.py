import lightning as L
import torch
from torch import Tensor
from torch_geometric.transforms import Compose

from drin_pyg.features import Candidates, PairTables
from drin_pyg.features import swap_images as swap_images_of
from drin_pyg.graph import CandidateLoader
from drin_pyg.graph.candidate_batch import Context
from drin_pyg.graph.loader import WHOLE, Transform
from drin_pyg.graph.weigh_pairs import weigh_pairs


class CandidateDataModule(L.LightningDataModule):
    r"""Loaders of pair graphs for training, validation and test.

    Processes that train together have the same batches, and each takes its share of the mentions of every batch.

    Args:
        tables: Features and first weights of all mentions and entities.
        candidates: Candidate lists and answers of all mentions.
        split: Split name to its mentions, int64 ``[B]``; ``"train"`` and ``"val"`` are needed to
            train, ``"test"`` to predict.
        max_pairs: Budget of pairs per training batch, of all processes together; see
            :class:`~drin_pyg.graph.PairBudgetSampler`. Evaluation uses four times as many.
        context: Whose mention vertices, ``"pair"`` or ``"mention"``.
        seed: Seed of the shuffling.
        num_workers: Worker processes that build batches.
        transform: Applied to every batch; see :class:`~drin_pyg.graph.CandidateLoader`.
        appended: From :func:`~drin_pyg.evaluation.append_gold`: graphs hold the appended answers, as the published
            protocol has it; scores are still those of ``candidates``.
        swap_images: Share of the training mentions that have another's images
            (:func:`~drin_pyg.features.swap_images`), drawn anew every epoch.

    Raises:
        ValueError: If images are to be swapped and first weights of images are given per pair.
    """

    def __init__(
        self,
        tables: PairTables,
        candidates: Candidates,
        split: dict[str, Tensor],
        *,
        max_pairs: int = 2048,
        context: Context = 'pair',
        seed: int = 0,
        num_workers: int = 0,
        transform: Transform | None = None,
        appended: tuple[Candidates, Transform] | None = None,
        swap_images: float = 0.0,
    ):
        super().__init__()
        self.tables = tables
        self.candidates = candidates
        # The lists that the graphs are built of.
        self.unweighed = candidates if appended is None else appended[0]
        self.listed = weigh_pairs(tables, self.unweighed)
        if appended is not None:
            transform = appended[1] if transform is None else Compose([transform, appended[1]])
        self.split = split
        self.max_pairs = max_pairs
        self.context = context
        self.seed = seed
        self.num_workers = num_workers
        self.transform = transform
        self.swap_images = swap_images
        if swap_images and 'train' in split:  # what cannot be done is said now, not when training begins
            swap_images_of(tables, candidates, split['train'], swap_images)

    def loader(self, split: str, train: bool = False, share: tuple[int, int] = WHOLE) -> CandidateLoader:
        """Batches of a split, or a share of each: shuffled and of ``max_pairs`` pairs to train on, in order otherwise.
        """
        if split not in self.split:
            raise ValueError(f"There is no split '{split}'; there are {', '.join(self.split)}")
        return CandidateLoader(
            self.tables,
            self.listed,
            self.split[split],
            max_pairs=self.max_pairs if train else 4 * self.max_pairs,
            context=self.context,
            shuffle=train,
            seed=self.seed,
            share=share,
            transform=self.transform,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0 and not train,  # workers that live on miss set_epoch
            pin_memory=torch.cuda.is_available(),
        )

    def lists(self, split: str) -> Candidates:
        """Candidate lists of a split, to which the scores of its mentions belong."""
        return self.candidates.select(self.split[split])

    @property
    def _share(self) -> tuple[int, int]:
        return WHOLE if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def train_dataloader(self) -> CandidateLoader:
        loader = self.loader('train', train=True, share=self._share)
        if self.swap_images:
            epoch = 0 if self.trainer is None else self.trainer.current_epoch
            tables = swap_images_of(self.tables, self.candidates, self.split['train'], self.swap_images,
                                    self.seed * 1_000_003 + epoch)
            loader.dataset.tables, loader.dataset.candidates = tables, weigh_pairs(tables, self.unweighed)
        return loader

    def val_dataloader(self) -> CandidateLoader:
        return self.loader('val', share=self._share)
