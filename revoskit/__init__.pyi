# The public names, and where each lives. `__init__.py` reads this file and imports them when they are asked for.
from revoskit.checking import check as check
from revoskit.dataset.annotations import Annotations as Annotations
from revoskit.dataset.annotations import open_annotations as open_annotations
from revoskit.dataset.layout import Layout as Layout
from revoskit.dataset.records import Expression as Expression
from revoskit.dataset.records import ExpressionType as ExpressionType
from revoskit.dataset.records import Video as Video
from revoskit.dataset.remapping import read_mapping as read_mapping
from revoskit.errors import RevosError as RevosError
from revoskit.frames import open_frame as open_frame
from revoskit.inference.predict import predict as predict
from revoskit.inference.video_frames import VideoFrames as VideoFrames
from revoskit.inference.writer import PredictionWriter as PredictionWriter
from revoskit.looking import pictures as pictures
from revoskit.looking.gallery import write_gallery as write_gallery
from revoskit.masks.rle import MaskSequence as MaskSequence
from revoskit.masks.rle import faults as faults
from revoskit.miniature import write_miniature as write_miniature
from revoskit.miniature import write_sister as write_sister
from revoskit.publishing import publish as publish
from revoskit.scoring.compare import compare as compare
from revoskit.scoring.convert import convert as convert
from revoskit.scoring.evaluate import evaluate as evaluate
from revoskit.scoring.evaluator import Evaluator as Evaluator
from revoskit.scoring.result import Result as Result
from revoskit.training.clips import Clips as Clips
from revoskit.training.clips import collate as collate
from revoskit.training.subsets import select_videos as select_videos
from revoskit.training.subsets import split_by_video as split_by_video

from . import export as export

__version__: str
