//! Any bytes are a table, a list or an error; never a panic.

use nearcast_tracker::{Access, GroupTable};
use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any, proptest},
    string::string_regex,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_table_s_text(text in string_regex("([0-9a-f.:/]{0,20}[,\t]){0,4}[^\n]{0,10}\n?|(?s).{0,100}").unwrap()) {
        if let Ok(table) = GroupTable::parse(&text) {
            table.place_of([10, 0, 0, 1].into());
        }
        Access::default().list(&text).ok();
        Access::default().deny(&text).ok();
    }

    #[test]
    fn a_table_s_file(bytes in vec(any::<u8>(), 0..300), marked in any::<bool>(), named in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(if named { "table.mmdb" } else { "table" });
        let marker: &[u8] = if marked { b"\xab\xcd\xefMaxMind.com" } else { b"" };
        std::fs::write(&path, [&bytes[..bytes.len() / 2], marker, &bytes[bytes.len() / 2..]].concat()).unwrap();
        if let Ok(table) = GroupTable::read(&path) {
            table.place_of([10, 0, 0, 1].into());
        }
        Access::read(Some(&path), [path.as_path()]).ok();
    }
}
