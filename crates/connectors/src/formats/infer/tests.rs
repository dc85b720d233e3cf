use super::*;

fn shown(inferred: &Inferred) -> String {
    let fields = inferred.schema.fields().iter();
    let fields: Vec<String> =
        fields.map(|field| format!("{} {}", field.name(), kind(field.data_type()))).collect();
    fields.join(", ")
}

fn kind(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8View => "text".to_owned(),
        DataType::Struct(fields) => {
            let fields = fields.iter();
            let fields: Vec<String> = fields
                .map(|field| format!("{} {}", field.name(), kind(field.data_type())))
                .collect();
            format!("({})", fields.join(" "))
        }
        DataType::List(item) => format!("[{}]", kind(item.data_type())),
        DataType::Timestamp(TimeUnit::Millisecond, None) => "timestamp".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Would fail if a value of the sample did not fit its column.
#[test]
fn json_values_get_a_type_that_takes_all_of_them() {
    let check = |text: &str, expected: &str| {
        assert_eq!(shown(&json(text.as_bytes(), 100)), expected, "{text}");
    };
    check(r#"{"b":true,"n":-3,"x":1.0,"s":"y"}"#, "b boolean, n int64, x float64, s text");
    check("{\"n\":1}\n{\"n\":2.5}\n{\"n\":null}", "n float64");
    check("{\"n\":1}\n{\"n\":\"one\"}", "n text");
    check("{\"n\":123456789012345678901}", "n float64");
    check("{\"n\":null}\n{\"m\":1}\n\n{\"n\":4}", "n int64, m int64");
    check(
        r#"{"d":"2020-04-15","t":"08:05:00","at":"2020-04-15 08:05:00.123"}"#,
        "d date32, t time32(millisecond), at timestamp",
    );
    check("{\"d\":\"2020-04-15\"}\n{\"d\":\"2020-04-15T08:05:00Z\"}", "d text");
    check("{\"d\":\"2020-02-30\"}", "d text");
    check(
        "{\"r\":{\"a\":1}}\n{\"r\":{\"a\":1.5,\"b\":[{\"c\":1},{\"d\":[]}]}}",
        "r (a float64 b [(c int64 d [text])])",
    );
    check("{\"r\":{\"a\":1}}\n{\"r\":[1]}", "r text");
    check(r#"{"r":{},"l":[1,null,2],"m":[1,"x"]}"#, "r text, l [int64], m [text]");
}

/// Would fail if one line that is no object hid the others, or more rows were read than asked.
#[test]
fn lines_that_are_no_objects_are_counted() {
    let inferred = json(b"{\"a\":1}\nnothing\n{\"a\":2}\n{\"a\":\"late\"}\n", 3);
    assert_eq!((shown(&inferred).as_str(), inferred.rows, inferred.bad), ("a int64", 3, 1));
}

/// Would fail if a header became a row or a row a header.
#[test]
fn a_header_does_not_fit_its_columns() {
    let check = |text: &str, header: Option<bool>, expected: &str, has_header: bool| {
        let inferred = csv(text.as_bytes(), 100, None, header);
        assert_eq!(shown(&inferred), expected, "{text}");
        let found = inferred.options.iter().any(|(key, _)| *key == "csv.header");
        assert_eq!(found, has_header, "{text}");
    };
    check("name,n\na,1\nb,2\n", None, "name text, n int64", true);
    check("a,1\nb,2\n", None, "column_1 text, column_2 int64", false);
    check("name,city\na,b\n", None, "column_1 text, column_2 text", false);
    check("name,city\na,b\n", Some(true), "name text, city text", true);
    check("name,n\na,1\n", Some(false), "column_1 text, column_2 text", false);
    check("1,2\n1.5,\n", None, "column_1 float64, column_2 int64", false);
    check("1.5,2\n1,\n", None, "column_1 float64, column_2 int64", false);
    check("n,n,\n1,2,3\n", None, "n int64, n_2 int64, column_3 int64", true);
    check("zip,ok\n01234,true\n", None, "zip text, ok boolean", true);
    check("x\ninf\n", None, "column_1 text", false);
    check("d;at\n2020-04-15;2020-04-15 08:05:00\n", None, "d date32, at timestamp", true);
    check("a\tb\n\"x\ny\"\t1\n", None, "a text, b int64", true);
}

/// Would fail if a column of Parquet were read into a type that its values do not fit.
#[test]
fn types_of_parquet_become_types_of_sql() {
    let schema = Schema::new(vec![
        Field::new("id", DataType::UInt32, false),
        Field::new("big", DataType::UInt64, false),
        Field::new("name", DataType::LargeUtf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("+02:00".into())), true),
        Field::new("gap", DataType::Duration(TimeUnit::Second), true),
    ]);
    let (found, others) = parquet(&schema);
    let kinds: Vec<&DataType> = found.fields().iter().map(|field| field.data_type()).collect();
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let expected = [&DataType::Int64, &DataType::Decimal128(20, 0), &DataType::Utf8View, &at];
    assert_eq!(kinds, expected);
    assert_eq!(others, ["gap"]);
}
