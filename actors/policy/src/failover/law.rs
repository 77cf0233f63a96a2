//! The four rules that decide what is on air. One function each; the order between them is in `decide`.

use std::fmt;

use weir_media::id::Slot;

/// What the rules look at.
pub(super) struct Situation {
    pub on_air: Option<Slot>,
    pub primary_live: bool,
    pub backup_live: bool,
    /// The broadcast is younger than the stall, primary has not been on air in it, and nobody has chosen.
    pub opening: bool,
    /// Primary has been steady for the hold and can be shown.
    pub hold_over: bool,
    /// The operator's choice; it is live and shows pictures.
    pub chosen: Option<Slot>,
}

/// Why another slot is on air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Rule 1: nothing was on air, and this slot has media.
    Media,
    /// Rule 1: the broadcast has just begun with backup, and primary has media.
    Opening,
    /// Rule 2: primary is lost.
    PrimaryLost,
    /// Rule 3: primary has been steady for the hold.
    HoldOver,
    /// Rule 4: backup is lost.
    BackupLost,
    /// The operator chose it.
    Operator,
}

impl Law {
    /// Its name where programs read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Media => "media",
            Self::Opening => "opening",
            Self::PrimaryLost => "primary_lost",
            Self::HoldOver => "hold_over",
            Self::BackupLost => "backup_lost",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Media => "rule 1: first media",
            Self::Opening => "rule 1: primary's first media just behind the backup's",
            Self::PrimaryLost => "rule 2: primary lost",
            Self::HoldOver => "rule 3: primary steady for the hold",
            Self::BackupLost => "rule 4: backup lost",
            Self::Operator => "operator's choice",
        })
    }
}

type Switch = (Option<Slot>, Law);

/// What to put on air instead; `None` if everything stays.
pub(super) fn decide(situation: &Situation) -> Option<Switch> {
    operators_choice(situation)
        .or_else(|| rule_1(situation))
        .or_else(|| rule_1_opening(situation))
        .or_else(|| rule_2(situation))
        .or_else(|| rule_4(situation))
        .or_else(|| rule_3(situation))
}

fn operators_choice(situation: &Situation) -> Option<Switch> {
    let chosen = situation.chosen.filter(|_| situation.chosen != situation.on_air)?;
    Some((Some(chosen), Law::Operator))
}

/// Nothing on air: the slot with media, primary before backup.
fn rule_1(situation: &Situation) -> Option<Switch> {
    let first = primary(situation).or(backup(situation)).filter(|_| situation.on_air.is_none())?;
    Some((Some(first), Law::Media))
}

/// Backup on air in a broadcast that has just begun: primary, as soon as it has media.
fn rule_1_opening(situation: &Situation) -> Option<Switch> {
    let behind = situation.opening && situation.on_air == Some(Slot::Backup) && situation.primary_live;
    behind.then_some((Some(Slot::Primary), Law::Opening))
}

/// Primary on air and lost: backup if it is live, else the last picture.
fn rule_2(situation: &Situation) -> Option<Switch> {
    let lost = situation.on_air == Some(Slot::Primary) && !situation.primary_live;
    lost.then(|| (backup(situation), Law::PrimaryLost))
}

/// Backup on air and primary's hold over: primary.
fn rule_3(situation: &Situation) -> Option<Switch> {
    let over = situation.on_air == Some(Slot::Backup) && situation.hold_over;
    over.then_some((Some(Slot::Primary), Law::HoldOver))
}

/// Backup on air and lost: primary if it is live, else the last picture.
fn rule_4(situation: &Situation) -> Option<Switch> {
    let lost = situation.on_air == Some(Slot::Backup) && !situation.backup_live;
    lost.then(|| (primary(situation), Law::BackupLost))
}

fn primary(situation: &Situation) -> Option<Slot> {
    situation.primary_live.then_some(Slot::Primary)
}

fn backup(situation: &Situation) -> Option<Slot> {
    situation.backup_live.then_some(Slot::Backup)
}
