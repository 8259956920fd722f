//! The name of a resource: the hash of its bytes.

use std::{fmt, str::FromStr};

use data_encoding::{BASE32_NOPAD, DecodeKind};

/// Characters in the text form of a [`ResourceId`].
pub const ID_CHARACTERS: usize = 52;

/// Names a file by its content: the BLAKE3 hash, written in lower-case base32 (RFC 4648, no padding)
/// because browsers lower-case the host part of a link. 资源标识 HASH in the source document.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId([u8; 32]);

/// Why a text is no [`ResourceId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceIdError {
    /// The text is too short or too long.
    #[error("the resource id has {0} characters, not {ID_CHARACTERS}; part of it may be missing")]
    Length(usize),
    /// A character that base32 doesn't have.
    #[error("the resource id has {character:?} at place {place}; only a–z and 2–7 occur in one")]
    Character {
        /// The offending character.
        character: char,
        /// Its place, counted from 1.
        place: usize,
    },
    /// The last character carries bits that no hash has.
    #[error("the resource id ends in {0:?}, which no id does; it may be mistyped")]
    Trailing(char),
}

impl ResourceId {
    /// The id of a BLAKE3 hash.
    pub const fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The BLAKE3 hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string();
        write!(f, "ResourceId({}…)", &text[..8])
    }
}

impl FromStr for ResourceId {
    type Err = ResourceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let characters = text.chars().count();
        if characters != ID_CHARACTERS {
            return Err(ResourceIdError::Length(characters));
        }
        if let Some((place, character)) = text.chars().enumerate().find(|(_, c)| !c.is_ascii()) {
            return Err(ResourceIdError::Character { character, place: place + 1 });
        }
        let upper = text.to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(upper.as_bytes()).map_err(|error| {
            let character = text.chars().nth(error.position).unwrap_or('?');
            match error.kind {
                DecodeKind::Trailing => ResourceIdError::Trailing(character),
                _ => ResourceIdError::Character { character, place: error.position + 1 },
            }
        })?;
        let hash = bytes.try_into().map_err(|_| ResourceIdError::Length(characters))?;
        Ok(Self(hash))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn the_id_of_a_known_hash() {
        let id = ResourceId::from_bytes(*blake3::hash(b"nearcast").as_bytes());
        let text = id.to_string();
        assert_eq!(text.len(), ID_CHARACTERS);
        assert_eq!(text, text.to_lowercase());
        assert_eq!(text.to_uppercase().parse(), Ok(id));
    }

    #[test]
    fn each_way_of_being_wrong_has_its_sentence() {
        assert_eq!("abc".parse::<ResourceId>(), Err(ResourceIdError::Length(3)));
        let with_one = format!("a1{}", "a".repeat(50));
        assert_eq!(
            with_one.parse::<ResourceId>(),
            Err(ResourceIdError::Character { character: '1', place: 2 })
        );
        let chinese = format!("{}近", "a".repeat(51));
        assert_eq!(
            chinese.parse::<ResourceId>(),
            Err(ResourceIdError::Character { character: '近', place: 52 })
        );
        let trailing = format!("{}b", "a".repeat(51));
        assert_eq!(trailing.parse::<ResourceId>(), Err(ResourceIdError::Trailing('b')));
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(hash in any::<[u8; 32]>()) {
            let id = ResourceId::from_bytes(hash);
            prop_assert_eq!(id.to_string().parse::<ResourceId>(), Ok(id));
        }

        #[test]
        fn any_text_gives_an_answer(text in ".{0,80}") {
            let _ = text.parse::<ResourceId>();
        }
    }
}
