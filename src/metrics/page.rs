//! Measurements on their way to the page: each is put with its name and meaning, and families are made of equal names.

use std::collections::BTreeMap;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use weir_actors::tally::Distribution;

/// Labels of one measurement.
pub type Labels<'a> = [(&'static str, &'a str)];

/// Measurements by name.
#[derive(Default)]
pub struct Page(BTreeMap<&'static str, MetricFamily>);

impl Page {
    /// What goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, labels: &Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        self.put(name, help, MetricType::GAUGE, labels, |metric| metric.set_gauge(gauge));
    }

    /// Whether something is so.
    pub fn flag(&mut self, name: &'static str, help: &'static str, labels: &Labels<'_>, value: bool) {
        self.gauge(name, help, labels, f64::from(u8::from(value)));
    }

    /// What only grows, until what it counts begins anew. Exact up to 2^53.
    pub fn counter(&mut self, name: &'static str, help: &'static str, labels: &Labels<'_>, value: u64) {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        self.put(name, help, MetricType::COUNTER, labels, |metric| metric.set_counter(counter));
    }

    /// Durations, in seconds.
    pub fn durations(&mut self, name: &'static str, help: &'static str, labels: &Labels<'_>, value: &Distribution) {
        let bucket = |(bound, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(value.cumulative().map(bucket).collect());
        histogram.set_sample_count(value.count());
        histogram.set_sample_sum(value.sum_s());
        self.put(name, help, MetricType::HISTOGRAM, labels, |metric| metric.set_histogram(histogram));
    }

    /// All families, by name.
    pub fn families(self) -> impl Iterator<Item = MetricFamily> {
        self.0.into_values()
    }

    fn put(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: MetricType,
        labels: &Labels<'_>,
        fill: impl FnOnce(&mut Metric),
    ) {
        let label = |(name, value): &(&'static str, &str)| {
            let mut label = LabelPair::default();
            label.set_name((*name).to_owned());
            label.set_value((*value).to_owned());
            label
        };
        let mut metric = Metric::from_label(labels.iter().map(label).collect());
        fill(&mut metric);
        let family = self.0.entry(name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
    }
}
