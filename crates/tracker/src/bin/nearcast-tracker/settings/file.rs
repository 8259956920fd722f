//! The settings file: reading it, with the line of what is wrong, and printing one to begin with.

use clap::Args as _;

use super::Settings;

/// Names that differ more than this aren't taken for one another's misspelling.
const ALIKE: f64 = 0.6;

/// Reads a settings file.
pub fn read(text: &str) -> anyhow::Result<Settings> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        told(line, &hinted(error.message()))
    })
}

/// An error about what a setting says, with the line where it is set.
pub fn at_its_line(text: &str, error: anyhow::Error) -> anyhow::Error {
    let said = error.to_string();
    let words: Vec<_> = said.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    let set = text.lines().position(|line| {
        let key = line.split_once('=').map_or("", |(key, _)| key.trim());
        !key.is_empty() && words.contains(&key)
    });
    told(set.map(|line| line + 1), &said)
}

fn told(line: Option<usize>, said: &str) -> anyhow::Error {
    match line {
        Some(line) => anyhow::anyhow!("line {line}: {said}"),
        None => anyhow::anyhow!("{said}"),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// What the parser says, in one line and with a hint.
fn hinted(message: &str) -> String {
    let message = message.lines().collect::<Vec<_>>().join(" ");
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    let Some((name, _)) = unknown else {
        return format!("{message}; `nearcast-tracker --print-config` shows how each setting is written");
    };
    let close = |known: &&String| strsim::jaro_winkler(name, known);
    let names: Vec<_> = names();
    let closest = names.iter().max_by(|one, other| close(one).total_cmp(&close(other)));
    match closest.filter(|known| close(known) > ALIKE) {
        Some(known) => format!("there is no setting \"{name}\"; did you mean \"{known}\"?"),
        None => {
            format!("there is no setting \"{name}\"; `nearcast-tracker --print-config` shows all there are")
        }
    }
}

fn names() -> Vec<String> {
    let command = Settings::augment_args(clap::Command::new("nearcast-tracker"));
    let names = command.get_arguments().map(|setting| setting.get_id().to_string());
    names.filter(|name| name != "config").collect()
}

/// A settings file that says what each setting is for. Those with a default stand there with it, behind `#`
/// alone; the others as examples, behind `# `.
pub fn commented() -> anyhow::Result<String> {
    let defaults = toml::Table::try_from(Settings::defaults()?)?;
    let command = Settings::augment_args(clap::Command::new("nearcast-tracker"));
    let mut text =
        String::from("# The settings of nearcast-tracker. Take the # away from what you change.\n");
    for setting in command.get_arguments().filter(|setting| setting.get_id() != "config") {
        let key = setting.get_id();
        let help = setting.get_help().map(ToString::to_string).unwrap_or_default();
        let (help, default) = help.split_once(" [default: ").unwrap_or((help.trim_end_matches('.'), ""));
        text += &format!("\n# {help}");
        let possible = setting.get_possible_values();
        if !possible.is_empty() {
            let names: Vec<_> = possible.iter().map(clap::builder::PossibleValue::get_name).collect();
            text += &format!(": {}", names.join(", "));
        }
        match (defaults.get(key.as_str()), setting.get_value_names()) {
            (Some(value), _) => text += &format!(".\n#{key} = {value}\n"),
            (None, example) => {
                if let Some((default, _)) = default.split_once(']') {
                    text += &format!("; if none is named, {default}");
                }
                let example = example.and_then(|names| names.first()).map_or("", |name| name.as_str());
                text += &format!(".\n# {key} = \"{example}\"\n");
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::proptest, string::string_regex};

    use super::*;

    proptest! {
        #[test]
        fn any_text_makes_settings_or_one_line(
            text in string_regex("([a-z_]{1,12} ?= ?[-0-9\"a-z/.\\[\\]]{0,12}\n|[^\n]{0,20}\n){0,6}").unwrap(),
        ) {
            match read(&text) {
                Ok(settings) => drop(settings.check().map_err(|error| at_its_line(&text, error))),
                Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{text:?}: {error}"),
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_a_hint() {
        for (text, line, told) in [
            ("# ours\nhihg = 7\n", 2, "no setting \"hihg\"; did you mean \"high\"?"),
            ("groups = []\ntopup = \"best\"\n", 2, "did you mean \"top_up\"?"),
            ("\n\nxyz = 1\n", 3, "--print-config"),
            ("lease = \"long\"\n", 1, "invalid type: string \"long\""),
            ("low = 40\nhigh = -1\n", 2, "invalid value: integer `-1`"),
            ("low = 40\ntop_up = \"north\"\n", 2, "unknown variant `north`, expected one of"),
            ("listen = [\"here\"]\n", 1, "invalid multiaddr"),
            ("status = \"here\"\n", 1, "invalid socket address"),
            ("low = 40\nlow = 50\n", 2, "duplicate key"),
            ("low = 40\nhigh\n", 2, "--print-config"),
        ] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.starts_with(&format!("line {line}: ")) && said.contains(told), "{text:?}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }

    #[test]
    fn a_value_that_makes_no_sense_is_told_with_its_line() {
        for (text, line) in
            [("# ours\nlow = 60\n", 2), ("\nlease = 1\n", 2), ("connections = 0", 1), ("\n\nburst = 0", 3)]
        {
            let error = read(text).unwrap().check().unwrap_err();
            let said = at_its_line(text, error).to_string();
            assert!(said.starts_with(&format!("line {line}: ")), "{text:?}: {said}");
        }
    }
}
