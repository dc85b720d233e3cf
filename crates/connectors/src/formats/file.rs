//! Whole files of a format: what their bytes are while they grow, and what ends them.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_plan::connector::TableSpec;
use thalweg_types::{Change, Result};

use super::FileEncoder;
use super::encode::Encoder;
use super::parquet::{Compression, ParquetEncoder};

/// A format of files.
#[derive(Clone, Debug)]
pub enum Format {
    /// One line or record after the other.
    Lines(Encoder),
    /// Apache Parquet.
    Parquet(SchemaRef, Compression),
}

impl Format {
    /// Returns the format that a table asks for.
    ///
    /// # Errors
    /// `Invalid` if it is unknown or does not fit the schema.
    pub fn of(table: &TableSpec) -> Result<Format> {
        match super::of(&table.options)? {
            "parquet" => {
                let compression = Compression::of(&table.options)?;
                let format = Format::Parquet(table.schema.clone(), compression);
                format.encoder().map(|_| format)
            }
            _ => Ok(Format::Lines(Encoder::of(table)?)),
        }
    }

    /// Returns the ending of files in this format.
    pub fn extension(&self) -> &'static str {
        match self {
            Format::Lines(encoder) => encoder.extension(),
            Format::Parquet(..) => "parquet",
        }
    }

    /// Returns an encoder of a new file.
    ///
    /// # Errors
    /// `Invalid` if a column's type has no form in the format.
    pub fn encoder(&self) -> Result<Box<dyn FileEncoder>> {
        Ok(match self {
            Format::Lines(encoder) => {
                Box::new(Lines { encoder: encoder.clone(), text: String::new() })
            }
            Format::Parquet(schema, compression) => {
                Box::new(ParquetEncoder::new(Arc::clone(schema), *compression)?)
            }
        })
    }
}

struct Lines {
    encoder: Encoder,
    text: String,
}

impl FileEncoder for Lines {
    fn write(&mut self, change: &Change) -> Result<()> {
        self.encoder.encode(change, &mut self.text);
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.text.len()
    }

    fn take(&mut self) -> Vec<u8> {
        self.encoder.bytes(std::mem::take(&mut self.text))
    }

    fn cut(&mut self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}
