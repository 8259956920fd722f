//! A picture for a title that has none: drawn from its name, the same every time.

use maud::{Markup, html};

/// Its shape: that of a film's picture.
pub(crate) const WIDTH: u32 = 480;
pub(crate) const HEIGHT: u32 = 270;

/// Hues that go together, in degrees.
const COLOURS: [[u32; 2]; 12] = [
    [250, 190],
    [268, 322],
    [216, 262],
    [196, 226],
    [332, 14],
    [284, 246],
    [164, 198],
    [8, 338],
    [226, 302],
    [20, 38],
    [205, 168],
    [312, 278],
];

/// What a name decides about its picture.
struct Drawing {
    hue: u32,
    second: u32,
    circles: Vec<(u32, u32, u32)>,
    tilt: u32,
    letter: String,
}

impl Drawing {
    fn of(name: &str) -> Self {
        let hash = blake3::hash(name.as_bytes());
        let bytes = hash.as_bytes();
        let number = |at: usize, below: u32| u32::from(bytes[at % 32]) * below / 256;
        let [hue, second] = COLOURS[bytes[0] as usize % COLOURS.len()];
        let circle = |at: usize| (number(at, WIDTH), number(at + 1, HEIGHT), 60 + number(at + 2, 130));
        let circles = [3, 7, 11].map(circle).to_vec();
        Self { hue, second, circles, tilt: number(16, 60), letter: initial(name) }
    }
}

/// The first letter or number of a name, large: two words give two Latin letters.
fn initial(name: &str) -> String {
    let mut words = name.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let first = words.next().and_then(|word| word.chars().next());
    let Some(first) = first else { return "▶".into() };
    let latin = |letter: &char| letter.is_ascii_alphabetic();
    let second = words.next().and_then(|word| word.chars().next()).filter(latin).filter(|_| latin(&first));
    first.to_uppercase().chain(second.into_iter().flat_map(char::to_uppercase)).collect()
}

/// The picture, to stand in a page. It says nothing that the title doesn't, so that it isn't read out.
pub(crate) fn drawn(name: &str) -> Markup {
    let drawing = Drawing::of(name);
    let (hue, second) = (drawing.hue, drawing.second);
    html! {
        svg class="drawn" xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) }
            preserveAspectRatio="xMidYMid slice" aria-hidden="true" focusable="false" {
            rect width=(WIDTH) height=(HEIGHT) fill={ "hsl(" (hue) " 42% 27%)" } {}
            g transform={ "rotate(-" (drawing.tilt) " 240 135)" } {
                rect x="-160" y="150" width="800" height="320" fill={ "hsl(" (second) " 52% 36%)" } fill-opacity=".75" {}
                rect x="-160" y="215" width="800" height="320" fill={ "hsl(" (second) " 60% 46%)" } fill-opacity=".5" {}
            }
            @for (x, y, radius) in &drawing.circles {
                circle cx=(x) cy=(y) r=(radius) fill={ "hsl(" (second) " 75% 68%)" } fill-opacity=".13" {}
            }
            text x="240" y="142" fill="#fff" fill-opacity=".94" font-size="112" font-weight="700" text-anchor="middle"
                dominant-baseline="central" letter-spacing="-2"
                font-family="system-ui, 'Noto Sans', 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif" {
                (drawing.letter)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_picture_and_two_names_have_two() {
        assert_eq!(drawn("Sintel").into_string(), drawn("Sintel").into_string());
        assert_ne!(drawn("Sintel").into_string(), drawn("Sintel 2").into_string());
    }

    #[test]
    fn initials_in_any_script() {
        let cases = [
            ("Big Buck Bunny", "BB"),
            ("sintel", "S"),
            ("大兔子 邦尼", "大"),
            ("7 days", "7"),
            ("", "▶"),
            ("<b>", "B"),
        ];
        for (name, expected) in cases {
            assert_eq!(initial(name), expected, "{name}");
        }
    }
}
