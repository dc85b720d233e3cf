//! Structs that are rows.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use thalweg_types::Result;

/// A struct whose fields are the columns of a row, in order; [`record!`](crate::record!) makes one.
pub trait Record: Clone + Send + Sync + Sized + 'static {
    /// Returns the columns.
    fn schema() -> SchemaRef;

    /// Returns the rows of a batch of this schema.
    ///
    /// # Errors
    /// `Data` if a value is NULL that no `Option` takes.
    fn read(rows: &RecordBatch) -> Result<Vec<Self>>;

    /// Makes a batch of rows.
    ///
    /// # Errors
    /// None that values can cause.
    fn write(records: Vec<Self>) -> Result<RecordBatch>;
}

/// Declares a struct whose fields are columns. Its fields are of types that are a
/// [`Value`](crate::Value): `bool`, `i32`, `i64`, `f64`, `String`, [`Timestamp`](crate::Timestamp),
/// and `Option`s of these.
///
/// ```
/// thalweg_api::record! {
///     /// What a sensor said.
///     pub struct Reading {
///         pub sensor: String,
///         pub degrees: Option<f64>,
///     }
/// }
/// use thalweg_api::Record;
/// let readings = vec![Reading { sensor: "attic".into(), degrees: Some(21.5) }];
/// let rows = Reading::write(readings.clone()).unwrap();
/// assert_eq!(Reading::read(&rows).unwrap(), readings);
/// ```
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* $visible:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_visible:vis $field:ident: $kind:ty),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $visible struct $name {
            $($(#[$field_meta])* $field_visible $field: $kind),+
        }

        impl $crate::Record for $name {
            fn schema() -> $crate::arrow::datatypes::SchemaRef {
                let fields = vec![$(<$kind as $crate::Value>::field(stringify!($field))),+];
                ::std::sync::Arc::new($crate::arrow::datatypes::Schema::new(fields))
            }

            fn read(rows: &$crate::arrow::array::RecordBatch) -> $crate::Result<Vec<Self>> {
                let mut columns = rows.columns().iter();
                $(
                    let column = columns.next().ok_or_else($crate::too_few_columns)?;
                    let mut $field = <$kind as $crate::Value>::values(column)?.into_iter();
                )+
                let mut records = Vec::with_capacity(rows.num_rows());
                while let ($(Some($field)),+,) = ($($field.next()),+,) {
                    records.push($name { $($field),+ });
                }
                Ok(records)
            }

            fn write(records: Vec<Self>) -> $crate::Result<$crate::arrow::array::RecordBatch> {
                let columns = vec![$(<$kind as $crate::Value>::column(
                    records.iter().map(|record| Some(record.$field.clone()))
                )),+];
                let schema = <Self as $crate::Record>::schema();
                Ok($crate::arrow::array::RecordBatch::try_new(schema, columns)?)
            }
        }
    };
}
