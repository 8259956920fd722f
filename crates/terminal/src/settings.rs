//! What the user has set, kept on disk so that a crash leaves the old settings or the new ones.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What the user has set. Fields that an older file lacks have their defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Settings {
    /// `en` or `zh-CN`.
    pub language: Language,
    /// Of everything but the player, which is always dark.
    pub theme: Theme,
    /// Where films are kept; empty means the proposed folder.
    pub folder: String,
    /// The most bytes that films may take there.
    #[ts(type = "number")]
    pub limit: u64,
    /// Whether what is held is shared on.
    pub share: bool,
    /// The upload limit in bytes/s; none means no limit.
    #[ts(type = "number | null")]
    pub upload: Option<u64>,
    /// The download limit in bytes/s.
    #[ts(type = "number | null")]
    pub download: Option<u64>,
    /// Trackers asked besides those that links name, as multiaddrs.
    pub trackers: Vec<String>,
    /// Trackers whose links play without a question.
    pub trusted: Vec<String>,
    /// Whether neighbours are looked for on the local network (mDNS).
    pub neighbours: bool,
    /// What closing the window does.
    pub on_close: OnClose,
    /// Whether films start where one stopped.
    pub resume: bool,
    /// Whether watched films are listed at home.
    pub history: bool,
    /// 0 to 1, as the ear hears it.
    pub volume: f64,
    /// No sound.
    pub muted: bool,
    /// Whether the controls stay on the screen.
    pub keep_controls: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: Language::En,
            theme: Theme::System,
            folder: String::new(),
            limit: 20_000_000_000,
            share: true,
            upload: None,
            download: None,
            trackers: Vec::new(),
            trusted: Vec::new(),
            neighbours: true,
            on_close: OnClose::Ask,
            resume: true,
            history: true,
            volume: 1.0,
            muted: false,
            keep_controls: false,
        }
    }
}

/// A language of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub enum Language {
    /// English.
    #[serde(rename = "en")]
    En,
    /// Simplified Chinese.
    #[serde(rename = "zh-CN")]
    ZhCn,
}

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Theme {
    /// As the system.
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// What closing the window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum OnClose {
    /// Asks.
    Ask,
    /// Goes on sharing in the background.
    Keep,
    /// Quits.
    Quit,
}
