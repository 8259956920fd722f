//! What the operator changes and looks at while calls are answered.

use std::{collections::BTreeMap, sync::Arc};

use nearcast_protocol::{Group, tracker::Received};

use super::{Server, portions::Portions};
use crate::{
    access::Access,
    group_table::GroupTable,
    limits::Limits,
    metrics::{Extent, resident},
    purge::Purging,
    regroup::Regrouping,
    rules::Rules,
    survey::Survey,
};

/// Memory counts as full until there are so many hundredths of the bound.
const ROOM_AGAIN: u64 = 95;

impl Server {
    /// Puts another table in place and gives every node its new group, a few at a time: calls are answered
    /// in between. Who calls from then on has the place that the new table says; another node may be counted
    /// where it was for as long as this takes. It blocks the thread; two at once make no sense.
    pub fn set_table(&self, table: GroupTable) {
        let table = Arc::new(table);
        // The old table is taken apart after the others may go on.
        let said = table.said().clone();
        let mut state = self.state();
        state.swarm.set_distances(said);
        let old = std::mem::replace(&mut state.table, table.clone());
        drop(state);
        drop(old);
        let (mut regrouping, mut portions) = (Regrouping::default(), Portions::default());
        while !portions.next(self, |state, size| state.swarm.regroup_some(&table, &mut regrouping, size)) {
            portions.rest();
        }
    }

    /// Serves by other lists from now on, and forgets what they deny, a few nodes at a time. It blocks the
    /// thread.
    pub fn set_access(&self, access: Access) -> Purging {
        let access = Arc::new(access);
        let old = std::mem::replace(&mut self.state().access, access.clone());
        drop(old);
        let (mut purging, mut portions) = (Purging::default(), Portions::default());
        if !access.is_open() {
            while !portions.next(self, |state, size| state.swarm.purge_some(&access, &mut purging, size)) {
                portions.rest();
            }
        }
        if purging.nodes + purging.holdings > 0 {
            self.state().changes.known += 1;
        }
        purging
    }

    /// Makes lists and gives leases by other rules from now on.
    pub fn set_rules(&self, rules: Rules) {
        let mut state = self.state();
        state.rules = rules;
        let rules =
            if state.crowded { narrowed(rules, state.swarm.nodes(), state.swarm.holdings()) } else { rules };
        state.swarm.set_rules(rules);
    }

    /// Holds those who ask, and the memory, to other limits from now on.
    pub fn set_limits(&self, limits: Limits) {
        let mut state = self.state();
        state.limits = limits;
        state.pace.set_limits(limits);
    }

    /// Forgets all whose leases have run out.
    pub(super) fn expire(&self) {
        let mut state = self.state();
        let now = self.now(&state);
        let before = state.swarm.nodes();
        state.swarm.expire(now);
        state.changes.leases += u64::from(before != state.swarm.nodes());
    }

    /// Goes by how much memory the process takes. Where that is too much, as many nodes and holdings as there
    /// are remain: what the process has once taken it seldom gives back, but a place that falls free is used
    /// again.
    pub fn weigh(&self, memory: u64) {
        let mut state = self.state();
        let bound = state.limits.memory;
        if !state.crowded && bound > 0 && memory > bound {
            state.crowded = true;
            let rules = narrowed(state.rules, state.swarm.nodes(), state.swarm.holdings());
            state.swarm.set_rules(rules);
            drop(state);
            tracing::warn!(memory, bound, "the memory is full: questions are answered, nothing is added");
        } else if state.crowded && (bound == 0 || memory < bound / 100 * ROOM_AGAIN) {
            state.crowded = false;
            let rules = state.rules;
            state.swarm.set_rules(rules);
            drop(state);
            tracing::info!(memory, bound, "there is memory again");
        }
    }

    /// What the nodes of each group have reported to have received, with the group's name: the operator's
    /// proof.
    pub fn received(&self) -> BTreeMap<Group, (String, Received)> {
        let state = self.state();
        let name = |group| state.table.name_of(group).unwrap_or_default().to_owned();
        state.swarm.received().iter().map(|(group, sum)| (*group, (name(*group), *sum))).collect()
    }

    /// What the table calls a group.
    pub fn name_of(&self, group: Group) -> Option<String> {
        self.state().table.name_of(group).map(str::to_owned)
    }

    /// How much is remembered.
    pub fn extent(&self) -> Extent {
        let memory = resident();
        let state = self.state();
        Extent {
            nodes: state.swarm.nodes(),
            holdings: state.swarm.holdings(),
            resources: state.swarm.resources(),
            claims: state.swarm.claims(),
            prefixes: state.table.len(),
            awaiting: state.introductions.len(),
            memory,
            crowded: state.crowded,
        }
    }

    /// What is counted, as Prometheus reads it.
    pub fn prometheus(&self) -> String {
        self.metrics.dialled_back(self.dialled_back());
        self.metrics.text(self.extent(), &self.received())
    }

    /// The films and networks that a status page shows, looked up a few at a time. It blocks the thread.
    pub fn survey(&self) -> Survey {
        let (mut survey, mut portions) = (Survey::default(), Portions::default());
        while !portions.next(self, |state, size| state.swarm.survey_some(&mut survey, size)) {
            portions.rest();
        }
        survey
    }
}

fn narrowed(rules: Rules, nodes: usize, holdings: usize) -> Rules {
    Rules { nodes: rules.nodes.min(nodes), holdings: rules.holdings.min(holdings), ..rules }
}
