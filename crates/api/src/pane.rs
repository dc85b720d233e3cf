//! What a pane says of itself.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use thalweg_plan::pane::PaneColumn;
pub use thalweg_plan::pane::Timing;
use thalweg_types::{Error, Result};

use crate::record::Record;
use crate::value::{Reader, Value, Writer};

/// What a pane says of itself: a struct whose last field is one gets it from a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Record)]
pub struct Pane {
    /// When it was sent.
    pub timing: Timing,
    /// How many panes the window sent before.
    pub index: i64,
    /// Does the window send no further one, for sure?
    pub is_last: bool,
}

impl Pane {
    /// The columns that are its fields.
    pub(crate) const COLUMNS: [PaneColumn; 3] =
        [PaneColumn::Timing, PaneColumn::Index, PaneColumn::IsLast];

    /// Returns whether the last field of a struct is a pane.
    pub(crate) fn ends<U: Record>() -> bool {
        U::fields().last().is_some_and(|field| *field.data_type() == Pane::data_type())
    }
}

/// Reads timings.
#[derive(Debug)]
pub struct Timings(Vec<Timing>);

impl Value for Timing {
    type Reader = Timings;
    type Writer = TimingWriter;

    fn data_type() -> DataType {
        String::data_type()
    }
}

impl Reader<Timing> for Timings {
    fn open(column: &ArrayRef, needed: Option<&NullBuffer>) -> Result<Self> {
        let texts = <String as Value>::Reader::open(column, needed)?;
        let timing = |text: Option<&str>| match text {
            Some("EARLY") | None => Ok(Timing::Early),
            Some("ON_TIME") => Ok(Timing::OnTime),
            Some("LATE") => Ok(Timing::Late),
            Some(other) => Err(Error::data(format!("there is no timing `{other}` of a pane"))
                .remedy("a timing is EARLY, ON_TIME or LATE")),
        };
        Ok(Timings(texts.iter().map(timing).collect::<Result<_>>()?))
    }

    #[inline]
    fn get(&self, row: usize) -> Timing {
        self.0[row]
    }
}

/// Writes timings.
#[derive(Debug)]
pub struct TimingWriter(<String as Value>::Writer);

impl Writer<Timing> for TimingWriter {
    fn with_capacity(rows: usize) -> Self {
        TimingWriter(Writer::<String>::with_capacity(rows))
    }

    fn push(&mut self, value: &Timing) {
        self.0.append_value(value.name());
    }

    fn push_missing(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Writer::<String>::finish(&mut self.0)
    }
}
