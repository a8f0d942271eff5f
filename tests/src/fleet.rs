//! Several servers on one PostgreSQL database, behind one balancer.

use crate::oauth::Live;
use crate::peers::Peers;
use crate::postgres::Postgres;
use crate::round_robin::RoundRobin;
use crate::vestibule::{Vestibule, VestibuleConfig};

/// Three nodes, their database, and Alice signed in at them.
#[derive(Debug)]
pub struct Fleet {
    /// The first node, with Alice's browser, reached through the balancer.
    pub live: Live,
    /// The other two.
    pub others: Vec<Vestibule>,
    /// What is in front of them.
    pub balancer: RoundRobin,
    /// What is behind them.
    pub postgres: Postgres,
}

impl Fleet {
    /// Starts all of it.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start(peers: &Peers) -> Self {
        let postgres = tokio::task::spawn_blocking(Postgres::start).await.expect("a server");
        let balancer = RoundRobin::start().await;
        let public = format!("http://{}", balancer.address());
        let mut config =
            Live::config(VestibuleConfig::for_peers(peers)).with_args(&["--public-url", &public]);
        config.store = Some(postgres.database("vestibule"));
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let node = Vestibule::start(config.clone()).await.behind(balancer.address());
            balancer.add(node.listens());
            nodes.push(node);
        }
        let first = nodes.remove(0);
        Self { live: Live::at(peers, first).await, others: nodes, balancer, postgres }
    }

    /// One of the nodes, by its number from 0 to 2.
    pub fn node(&mut self, number: usize) -> &mut Vestibule {
        match number.checked_sub(1) {
            None => &mut self.live.vestibule,
            Some(other) => &mut self.others[other],
        }
    }

    /// What all of them said.
    pub fn logs(&self) -> String {
        let nodes = std::iter::once(&self.live.vestibule).chain(&self.others);
        nodes.map(Vestibule::logs).collect::<Vec<_>>().join("\n")
    }
}
