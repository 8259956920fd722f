//! What kind of file it is, told from its head alone.
//!
//! Left to itself, the pipeline asks some sixty guessers, some of which look into the middle and at the end
//! of the file (for MP3 frames, for tags). Where the bytes are still to be fetched each such look is a wait
//! before the first picture; and nearly every film says what it is in its first bytes.

use std::path::Path;

use gstreamer::{Caps, TypeFindProbability};
use gstreamer_base::functions::type_find_helper_for_data_with_extension;

use crate::{Media, MediaError};

/// How much is looked at. A TS stream shows itself after a dozen packets of 188 bytes, everything else sooner,
/// but a guesser that sees more is surer.
const HEAD: usize = 64 * 1024;

/// How much is waited for; what has come with it is looked at too.
const ENOUGH: usize = 4 * 1024;

/// Reads the head of the film and says what it is, if that is beyond doubt. Blocks until the head is there.
pub(super) fn look(media: &dyn Media) -> Result<Option<Caps>, MediaError> {
    let mut head = vec![0; HEAD];
    let mut held = 0;
    while held < ENOUGH {
        let count = media.read_at(held as u64, &mut head[held..])?;
        if count == 0 {
            break;
        }
        held += count;
    }
    head.truncate(held);
    let name = media.name();
    let extension = Path::new(&name).extension().and_then(|extension| extension.to_str());
    let found = type_find_helper_for_data_with_extension(None::<&gstreamer::Object>, &head, extension);
    Ok(found.ok().filter(|(_, sure)| *sure >= TypeFindProbability::NearlyCertain).map(|(caps, _)| caps))
}
