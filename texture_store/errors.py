"""Every error that texture_store raises on purpose.

    TextureStoreError
      UsageError (ValueError)                what was asked for cannot be done as asked; exit status 2
        InvalidSpecError, InvalidNameError, LabelsError, MissingExtraError (ImportError)
      CorpusError                            about the archive
        ArchiveNotFoundError (FileNotFoundError), EmptyArchiveError, DuplicatePathError
        ChangedSinceIndexError               the file is not the one that was indexed: it waits for the next index
        RejectedImageError (ValueError)      lies in the image's own bytes: reject the row, go on
          UnreadableImageError, ImageTooLargeError, UnsupportedImageError, UnknownScaleError, ImageTooSmallError
          ProcessKilledError, OutOfMemoryError, TimedOutError
      WeightsError                           about the network's weights
        WeightsNotFoundError (FileNotFoundError), CorruptWeightsError (ValueError), WrongLineageError (ValueError)
      EncodingError (ValueError)
        DimensionMismatchError
        DictionaryError                      too little, or nothing usable, to learn or judge words from
      StoreError                             about storage, archive or store
        TransientStoreError (OSError)        the only one that is tried again
        ObjectNotFoundError (FileNotFoundError), ObjectExistsError (FileExistsError), ObjectChangedError
        StoragePermissionError (PermissionError), StorageFullError (OSError)
        UnsafeStorageError, StoreFormatError
      DeviceError                            the processor that the network should run on cannot be used
      IsolationError                         no process could be started to read micrographs in
      StalledError                           nothing was done for too long
      TaskDiedError                          the process of a task died each time
      TableError                             about what the store holds
        DatasetNotFoundError, SnapshotNotFoundError, FeaturesNotFoundError, DictionaryNotFoundError (LookupError)
        SchemaMismatchError, CommitConflictError, BalanceError
      LeaseHeldError                         another run of the same job is going on

Each takes one message, so that all of them pickle across processes. A message is one line: the thing, the reason, what
to do.
"""


class TextureStoreError(Exception):
    """Any error that texture_store raises on purpose."""


class UsageError(TextureStoreError, ValueError):
    """The request itself is wrong; change it and run again."""


class InvalidSpecError(UsageError):
    """A setting of a feature spec is not allowed, or does not go with another one."""


class InvalidNameError(UsageError):
    """A dataset or partition name that is not allowed."""


class LabelsError(UsageError):
    """The labels file cannot be used: unreadable, or without a named column."""


class MissingExtraError(TextureStoreError, ImportError):
    """A part that is not installed; the message names the extra to install."""


class CorpusError(TextureStoreError):
    """Something about the archive of micrographs."""


class ArchiveNotFoundError(CorpusError, FileNotFoundError):
    """There is no archive at the given URL."""


class EmptyArchiveError(CorpusError):
    """The archive holds no micrograph."""


class DuplicatePathError(CorpusError):
    """Two images of one archive have the same path."""


class ChangedSinceIndexError(CorpusError):
    """The file is gone or is not the one that was indexed; run index again."""


class RejectedImageError(CorpusError, ValueError):
    """The reason lies in the image's own bytes: its row goes to `rejected`, the rest goes on.

    `stage` names the step that gave up on it.
    """

    stage = "decode"


class UnreadableImageError(RejectedImageError):
    """Not an image, truncated, or broken."""


class ImageTooLargeError(RejectedImageError):
    """Decoding it would take more memory than the limit."""


class UnsupportedImageError(RejectedImageError):
    """A readable image whose grey values have no agreed meaning, such as floats without a declared range."""

    stage = "intensity"


class UnknownScaleError(RejectedImageError):
    """Its um per px is unknown, or coarser than the scale that was asked for."""

    stage = "scale"


class ImageTooSmallError(RejectedImageError):
    """Fewer pixels than the network or the physical scale needs."""

    stage = "scale"


class ProcessKilledError(RejectedImageError):
    """Reading it ended each of several processes that had only this image."""

    stage = "isolation"


class OutOfMemoryError(RejectedImageError):
    """Reading it alone took more memory than the limit, each of several times."""

    stage = "isolation"


class TimedOutError(RejectedImageError):
    """Reading it alone took longer than the limit, each of several times."""

    stage = "isolation"


class WeightsError(TextureStoreError):
    """Something about the weights of the network."""


class WeightsNotFoundError(WeightsError, FileNotFoundError):
    """No source of weights could be reached."""


class CorruptWeightsError(WeightsError, ValueError):
    """A truncated or altered weights file."""


class WrongLineageError(WeightsError, ValueError):
    """The weights are not the ones of the paper (the Caffe lineage of VGG16)."""


class EncodingError(TextureStoreError, ValueError):
    """Feature maps or vectors that cannot be encoded."""


class DimensionMismatchError(EncodingError):
    """An array whose shape does not fit the layer or encoder."""


class DictionaryError(EncodingError):
    """Descriptors that no dictionary can be learnt from, or too few images to judge one."""


class StoreError(TextureStoreError):
    """Something about the storage under an archive or a store."""


class TransientStoreError(StoreError, OSError):
    """Storage did not answer properly; the only error that is tried again."""


class ObjectNotFoundError(StoreError, FileNotFoundError):
    """There is no such object."""


class ObjectExistsError(StoreError, FileExistsError):
    """The object is there already, and what exists is never overwritten."""


class ObjectChangedError(StoreError):
    """The object is not the version that was asked for."""


class StoragePermissionError(StoreError, PermissionError):
    """Storage refused access; check the credentials and the rights."""


class StorageFullError(StoreError, OSError):
    """No space is left on the storage."""


class UnsafeStorageError(StoreError):
    """The storage cannot create a file only if it is absent, so that concurrent writers would lose data."""


class StoreFormatError(StoreError):
    """The store was written by a newer version of texture_store, or is not a store."""


class DeviceError(TextureStoreError):
    """A processor that the network should run on cannot be used; the images wait for the next run."""


class IsolationError(TextureStoreError):
    """No process could be started to read micrographs in; the images wait for the next run."""


class LeaseHeldError(TextureStoreError):
    """Another run of the same job on the same dataset is going on; leave it alone."""


class StalledError(TextureStoreError):
    """A run in which nothing was done for too long: a part of it hangs."""


class TaskDiedError(TextureStoreError):
    """The process of a task ended each time that it was begun."""


class TableError(TextureStoreError):
    """Something about what the store holds."""


class DatasetNotFoundError(TableError, LookupError):
    """The store has no dataset of this name; run index first."""


class SnapshotNotFoundError(TableError, LookupError):
    """The dataset has no such snapshot."""


class FeaturesNotFoundError(TableError, LookupError):
    """No committed features of this dataset, encoder, layer and spec."""


class DictionaryNotFoundError(TableError, LookupError):
    """The dataset has no such VLAD dictionary; run fit-dictionary."""


class SchemaMismatchError(TableError):
    """A table file does not have the columns of its schema."""


class CommitConflictError(TableError):
    """Somebody else's content is under the same name; read it again."""


class BalanceError(TableError):
    """indexed = featurized + rejected + pending does not hold."""
