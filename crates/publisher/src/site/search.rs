//! Finding a title by what a person types: case and accents don't matter, Latin and Chinese do both.

use std::cmp::Ordering;

use memchr::memmem::Finder;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// More of a question than this isn't looked for.
pub(crate) const LONGEST: usize = 200;
/// More words than this aren't either.
const MOST_WORDS: usize = 12;

/// A text as it is compared: decomposed, without accents, in lower case.
pub(crate) fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.nfkd().filter(|letter| !is_combining_mark(*letter)) {
        match letter {
            // These have no decomposition.
            'ß' | 'ẞ' => folded.push_str("ss"),
            'æ' | 'Æ' => folded.push_str("ae"),
            'œ' | 'Œ' => folded.push_str("oe"),
            'ø' | 'Ø' => folded.push('o'),
            'ł' | 'Ł' => folded.push('l'),
            'đ' | 'Đ' | 'ð' | 'Ð' => folded.push('d'),
            'ı' => folded.push('i'),
            '’' | '\'' => {}
            _ => folded.extend(letter.to_lowercase()),
        }
    }
    folded
}

/// What a person looks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Made ready once, for ten thousand titles.
    words: Vec<Finder<'static>>,
}

impl Wanted {
    /// The words of a question; punctuation parts them.
    pub(crate) fn new(question: &str) -> Self {
        let short: String = question.chars().take(LONGEST).collect();
        let folded = folded(&short);
        let words = folded.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
        Self { words: words.take(MOST_WORDS).map(|word| Finder::new(word).into_owned()).collect() }
    }

    /// Whether nothing in particular is looked for.
    pub(crate) fn is_nothing(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether a folded text has all of the words.
    pub(crate) fn is_in(&self, folded: &str) -> bool {
        self.words.iter().all(|word| word.find(folded.as_bytes()).is_some())
    }
}

/// The order in which people expect names: folded, and numbers by their value.
pub(crate) fn by_name(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        match (one.chars().next(), other.chars().next()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(a), Some(b)) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let (number, rest) = number(one);
                let (second, behind) = self::number(other);
                let order = number.len().cmp(&second.len()).then_with(|| number.cmp(second));
                if order != Ordering::Equal {
                    return order;
                }
                (one, other) = (rest, behind);
            }
            (Some(a), Some(b)) if a == b => {
                (one, other) = (&one[a.len_utf8()..], &other[b.len_utf8()..]);
            }
            (Some(a), Some(b)) => return a.cmp(&b),
        }
    }
}

/// The digits in front, without leading zeros, and what follows.
fn number(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.trim_start_matches('0'), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn what_is_typed_finds_what_is_meant() {
        for (question, text, found) in [
            ("bunny", "Big Buck Bunny", true),
            ("BUNNY big", "Big Buck Bunny", true),
            ("amelie", "Le Fabuleux Destin d’Amélie Poulain", true),
            ("Amélie", "Amelie", true),
            ("damelie", "d’Amélie", true),
            ("strasse", "Straße", true),
            ("smorrebrod", "Smørrebrød", true),
            ("兔子", "大兔子邦尼", true),
            ("大兔 邦尼", "大兔子邦尼", true),
            ("狗", "大兔子邦尼", false),
            ("ｂｕｎｎｙ", "Big Buck Bunny", true),
            ("bunny 2", "Big Buck Bunny", false),
            ("", "anything", true),
            ("?!", "anything", true),
        ] {
            assert_eq!(Wanted::new(question).is_in(&folded(text)), found, "{question} in {text}");
        }
    }

    #[test]
    fn episode_ten_comes_after_episode_nine() {
        let mut names = ["episode 10", "episode 9", "episode 09b", "episode", "a"];
        names.sort_by(|a, b| by_name(a, b));
        assert_eq!(names, ["a", "episode", "episode 9", "episode 09b", "episode 10"]);
    }

    proptest! {
        #[test]
        fn a_text_is_found_by_itself(text in "\\PC{1,60}") {
            prop_assert!(Wanted::new(&text).is_in(&folded(&text)));
        }

        #[test]
        fn the_order_is_one(a in "[a-c0-9]{0,6}", b in "[a-c0-9]{0,6}", c in "[a-c0-9]{0,6}") {
            prop_assert_eq!(by_name(&a, &b), by_name(&b, &a).reverse());
            if by_name(&a, &b) != Ordering::Greater && by_name(&b, &c) != Ordering::Greater {
                prop_assert!(by_name(&a, &c) != Ordering::Greater);
            }
        }
    }
}
