//! The figures: a table for people, JSON for machines, a plot for a page.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The workload at an offered rate.
pub(crate) const LATENCY: &str = "http 1 KB at half load (8,000/s)";
/// Memory, not CPU.
pub(crate) const IDLE_PLAIN: &str = "KB per idle connection, plain";
/// Memory, not CPU.
pub(crate) const IDLE_TLS: &str = "KB per idle connection, TLS";

const PEERS: [&str; 3] = ["millpond", "haproxy", "nginx"];

/// One round of one workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) cpu_us: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7.1} us CPU/request {:>8.0}/s  p50 {:>6.2} ms  p99 {:>6.2} ms",
            self.cpu_us, self.requests_per_second, self.p50_ms, self.p99_ms
        )
    }
}

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Report {
    /// In the order in which they were first measured.
    workloads: Vec<&'static str>,
    figures: BTreeMap<(&'static str, &'static str), Vec<Figure>>,
    /// Millpond's CPU time by the better peer's, round by round.
    ratios: BTreeMap<&'static str, Vec<f64>>,
    memory: BTreeMap<(&'static str, &'static str), f64>,
}

impl Report {
    pub(crate) fn add(&mut self, workload: &'static str, peer: &'static str, figure: Figure) {
        if !self.workloads.contains(&workload) {
            self.workloads.push(workload);
        }
        self.figures.entry((workload, peer)).or_default().push(figure);
    }

    /// Compares what was added last for each balancer.
    pub(crate) fn end_round(&mut self, workload: &'static str) {
        let last = |peer| Some(self.figures.get(&(workload, peer))?.last()?.cpu_us);
        let better = PEERS[1..].iter().filter_map(|peer| last(peer)).min_by(f64::total_cmp);
        if let (Some(own), Some(better)) = (last(PEERS[0]), better) {
            self.ratios.entry(workload).or_default().push(own / better);
        }
    }

    pub(crate) fn add_memory(&mut self, workload: &'static str, peer: &'static str, kb: f64) {
        self.memory.insert((workload, peer), kb);
    }

    /// The median over the rounds of one of the figure's numbers.
    fn median(&self, workload: &'static str, peer: &'static str, of: fn(&Figure) -> f64) -> Option<f64> {
        median(self.figures.get(&(workload, peer))?.iter().map(of).collect())
    }

    /// The table: CPU microseconds a request, Millpond's ratio to the better peer of each round, and how far that spread.
    pub(crate) fn print(&self) {
        println!(
            "\n{:<48} {:>9} {:>9} {:>9}   ratio to the better",
            "CPU us per request (median)", PEERS[0], PEERS[1], PEERS[2]
        );
        for workload in &self.workloads {
            let ratio = self.ratios.get(workload).map_or(String::new(), |ratios| {
                let of = |pick: fn(f64, f64) -> f64| ratios.iter().copied().reduce(pick).unwrap_or_default();
                let middle = median(ratios.clone()).unwrap_or_default();
                format!("{middle:.2} ({:.2} to {:.2})", of(f64::min), of(f64::max))
            });
            Self::print_values(workload, PEERS.map(|peer| self.median(workload, peer, |figure| figure.cpu_us)), &ratio);
        }
        println!();
        for workload in &self.workloads {
            let name = format!("p99 ms, {workload}");
            self.print_row(&name, |peer| self.median(workload, peer, |figure| figure.p99_ms));
        }
        if self.workloads.contains(&LATENCY) {
            let added = |peer: &'static str| {
                let direct = self.median(LATENCY, "direct", |figure| figure.p99_ms)?;
                Some((self.median(LATENCY, peer, |figure| figure.p99_ms)? - direct) * 1000.0)
            };
            self.print_row("p99 added at half load, us", added);
        }
        for name in [IDLE_PLAIN, IDLE_TLS] {
            self.print_row(name, |peer| self.memory.get(&(name, peer)).copied());
        }
    }

    fn print_row(&self, name: &str, value: impl Fn(&'static str) -> Option<f64>) {
        let values = PEERS.map(value);
        if values.iter().all(Option::is_none) {
            return;
        }
        let better = values[1..].iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let ratio =
            values[0].filter(|_| better.is_finite()).map_or(String::new(), |own| format!("{:.2}", own / better));
        Self::print_values(name, values, &ratio);
    }

    fn print_values(name: &str, values: [Option<f64>; 3], ratio: &str) {
        let text = values.map(|value| value.map_or("-".to_owned(), |value| format!("{value:.1}")));
        println!("{name:<48} {:>9} {:>9} {:>9}   {ratio}", text[0], text[1], text[2]);
    }

    /// Writes `balancer.json` and `balancer.svg`.
    pub(crate) fn write(&self, home: &Path) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for ((workload, peer), figures) in &self.figures {
            for figure in figures {
                rows.push(format!(
                    "  {{\"workload\": \"{workload}\", \"balancer\": \"{peer}\", \"cpu_us\": {:.2}, \"requests_per_second\": {:.0}, \"p50_ms\": {:.3}, \"p99_ms\": {:.3}}}",
                    figure.cpu_us, figure.requests_per_second, figure.p50_ms, figure.p99_ms
                ));
            }
        }
        for ((workload, peer), kb) in &self.memory {
            rows.push(format!("  {{\"workload\": \"{workload}\", \"balancer\": \"{peer}\", \"kb\": {kb:.2}}}"));
        }
        std::fs::write(home.join("balancer.json"), format!("[\n{}\n]\n", rows.join(",\n")))?;
        std::fs::write(home.join("balancer.svg"), self.plot())?;
        println!("\nfigures: {0}/balancer.json   plot: {0}/balancer.svg", home.display());
        Ok(())
    }

    /// A bar per workload and balancer, each workload scaled to the better of the peers.
    fn plot(&self) -> String {
        use fmt::Write as _;
        const BAR: usize = 14;
        const GAP: usize = 18;
        const LEFT: usize = 300;
        const UNIT: f64 = 260.0;
        let colours = ["#0b6e99", "#b0b0b0", "#7fb069"];
        let height = 50 + self.workloads.len() * (PEERS.len() * BAR + GAP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <text x=\"10\" y=\"20\">CPU per request, as a ratio to the better of HAProxy and nginx (less is better)</text>\n"
        );
        let mut y = 40;
        for workload in &self.workloads {
            let values = PEERS.map(|peer| self.median(workload, peer, |figure| figure.cpu_us));
            let better = values[1..].iter().flatten().copied().fold(f64::INFINITY, f64::min);
            let _ = writeln!(svg, "<text x=\"10\" y=\"{}\">{workload}</text>", y + 2 * BAR);
            for ((peer, value), colour) in PEERS.iter().zip(values).zip(colours) {
                if let Some(value) = value.filter(|_| better.is_finite()) {
                    let width = (value / better * UNIT).min(560.0);
                    let _ = writeln!(
                        svg,
                        "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.0}\" height=\"{}\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{}\">{peer} {value:.1} us</text>",
                        BAR - 2,
                        LEFT as f64 + width + 6.0,
                        y + BAR - 3
                    );
                }
                y += BAR;
            }
            y += GAP;
        }
        svg + "</svg>\n"
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
