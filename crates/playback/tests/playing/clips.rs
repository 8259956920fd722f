//! Small films, made once and kept in the target folder.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use gstreamer::{MessageView, State, prelude::*};

/// How long each clip is, s.
pub const SECONDS: u64 = 8;

/// Snow, so that pictures don't compress and a second of film is a good share of the file: about 250 kB.
/// A picture that stands by itself every second.
const PICTURE: &str =
    "videotestsrc num-buffers=200 pattern=snow ! video/x-raw,format=I420,width=192,height=108,framerate=25/1";
const SOUND: &str = "audiotestsrc num-buffers=375 samplesperbuffer=1024 volume=0.1 ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! audioresample";
const H264: &str = "x264enc speed-preset=ultrafast bitrate=2000 key-int-max=25 ! h264parse";

/// The kinds of file a film may come as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clip {
    Mp4IndexFirst,
    Mp4IndexLast,
    Mkv,
    /// As a recorder writes it that was cut off: a seek has to search.
    MkvWithoutCues,
    Webm,
    Ts,
    Ogg,
    Mp3,
    Flac,
}

impl Clip {
    pub const ALL: [Self; 9] = [
        Self::Mp4IndexFirst,
        Self::Mp4IndexLast,
        Self::Mkv,
        Self::MkvWithoutCues,
        Self::Webm,
        Self::Ts,
        Self::Ogg,
        Self::Mp3,
        Self::Flac,
    ];

    pub fn has_pictures(self) -> bool {
        !matches!(self, Self::Mp3 | Self::Flac)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mp4IndexFirst => "index-first.mp4",
            Self::Mp4IndexLast => "index-last.mp4",
            Self::Mkv => "cues.mkv",
            Self::MkvWithoutCues => "no-cues.mkv",
            Self::Webm => "clip.webm",
            Self::Ts => "clip.ts",
            Self::Ogg => "clip.ogg",
            Self::Mp3 => "clip.mp3",
            Self::Flac => "clip.flac",
        }
    }

    fn recipe(self) -> String {
        let film = |picture: &str, sound: &str, mux: &str| {
            format!("{PICTURE} ! {picture} ! queue ! mux. {SOUND} ! {sound} ! queue ! mux. {mux} name=mux")
        };
        match self {
            Self::Mp4IndexFirst => film(H264, "avenc_aac ! aacparse", "mp4mux faststart=true"),
            Self::Mp4IndexLast => film(H264, "avenc_aac ! aacparse", "mp4mux"),
            Self::Mkv => film(H264, "opusenc ! opusparse", "matroskamux"),
            Self::MkvWithoutCues => film(H264, "opusenc ! opusparse", "matroskamux streamable=true"),
            Self::Webm => film(
                "vp8enc deadline=1 cpu-used=16 target-bitrate=2000000 keyframe-max-dist=25",
                "vorbisenc",
                "webmmux",
            ),
            Self::Ts => film(H264, "lamemp3enc ! mpegaudioparse", "mpegtsmux"),
            Self::Ogg => {
                film("theoraenc bitrate=2000 keyframe-force=25 speed-level=3", "vorbisenc", "oggmux")
            }
            Self::Mp3 => {
                format!("{SOUND} ! lamemp3enc target=bitrate cbr=true bitrate=320 ! xingmux name=mux")
            }
            Self::Flac => format!("{SOUND} ! flacenc name=mux"),
        }
    }

    /// The clip's file, made if this machine doesn't have it yet.
    pub fn path(self) -> PathBuf {
        // Made one at a time: two tests may want the same, and a machine has few cores.
        static MAKING: Mutex<()> = Mutex::new(());
        let _one = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips-2");
        let path = folder.join(self.name());
        if !path.exists() {
            std::fs::create_dir_all(&folder).unwrap();
            let half = folder.join(format!("{}.{}", self.name(), std::process::id()));
            make(&self.recipe(), &half);
            std::fs::rename(&half, &path).unwrap();
        }
        path
    }

    pub fn bytes(self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }
}

fn make(recipe: &str, path: &Path) {
    gstreamer::init().unwrap();
    let recipe = format!("{recipe} mux. ! filesink location={}", path.display());
    let pipeline = gstreamer::parse::launch(&recipe).unwrap();
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(State::Playing).unwrap();
    for message in bus.iter_timed(gstreamer::ClockTime::from_seconds(120)) {
        match message.view() {
            MessageView::Eos(_) => break,
            MessageView::Error(error) => panic!("{recipe}: {} {:?}", error.error(), error.debug()),
            _ => {}
        }
    }
    pipeline.set_state(State::Null).unwrap();
}
