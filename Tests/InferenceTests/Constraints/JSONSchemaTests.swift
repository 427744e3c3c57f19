import Inference
import Tensors
import Testing
import Tokenizers

@Suite struct JSONSchemaTests {
  static let schemas: [String] = [
    #"{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":150}},"required":["name","age"],"additionalProperties":false}"#,
    #"{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"boolean"},"c":{"type":["string","null"]}}}"#,
    #"{"type":"object","properties":{"a":{"const":1}},"required":["b"],"additionalProperties":{"type":"integer"}}"#,
    #"{"type":"array","items":{"enum":["a","日本",1.5,null,{"k":[1,"\""]}]},"minItems":2,"maxItems":4}"#,
    #"{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"boolean"},"minItems":1}"#,
    #"{"type":"array","prefixItems":[{"type":"integer"}],"items":false}"#,
    ##"{"$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v","next"]}},"$ref":"#/$defs/node"}"##,
    ##"{"$defs":{"tree":{"type":"array","items":{"anyOf":[{"type":"integer"},{"$ref":"#/$defs/tree"}]}}},"type":"object","properties":{"t":{"$ref":"#/$defs/tree"}},"required":["t"]}"##,
    #"{"type":"string","minLength":3,"maxLength":6}"#,
    #"{"type":"string","pattern":"^[A-Z]{2}-\\d+$","maxLength":7}"#,
    #"{"type":"string","pattern":"a+b","minLength":4,"maxLength":9}"#,
    #"{"type":"string","pattern":"[\"\\\\\\n]"}"#,
    #"{"type":"integer","minimum":-37,"maximum":1205}"#,
    #"{"type":"integer","exclusiveMinimum":99,"multipleOf":7}"#,
    #"{"type":"integer","maximum":-1000}"#,
    #"{"type":"number","minimum":-0.75,"exclusiveMaximum":12.5}"#,
    #"{"type":"number","exclusiveMinimum":0,"maximum":1}"#,
    #"{"type":"number","minimum":3.25,"maximum":3.5}"#,
    #"{"type":"number","minimum":0,"multipleOf":0.01}"#,
    #"{"allOf":[{"type":"object","properties":{"a":{"type":"number","minimum":1}},"required":["a"]},{"properties":{"a":{"maximum":9},"b":{"type":"string"}},"required":["b"]}]}"#,
    #"{"allOf":[{"type":["integer","string"]},{"anyOf":[{"minimum":10,"type":"integer"},{"type":"string","maxLength":2}]}]}"#,
    #"{"oneOf":[{"type":"object","properties":{"kind":{"const":"a"},"x":{"type":"integer"}},"required":["kind","x"]},{"type":"object","properties":{"kind":{"const":"b"},"y":{"type":"string"}},"required":["kind"]}]}"#,
    #"{"oneOf":[{"type":"integer","maximum":4},{"type":"integer","minimum":5},{"type":"string"}]}"#,
    #"{"oneOf":[{"enum":[1,2,3]},{"enum":[3,4,5]}]}"#,
    #"{"oneOf":[{"properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":{"type":"integer"}},"required":["b"]}]}"#,
    #"{"type":"object","minProperties":2,"maxProperties":3,"properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}},"additionalProperties":{"type":"boolean"}}"#,
    #"{"type":"object","patternProperties":{"^n":{"type":"integer"},"^a":{"type":"string"}},"properties":{"name":{"minimum":5}},"additionalProperties":false}"#,
    #"{"type":"object","properties":{"a\"b":{"type":"integer"},"日":{"type":"integer"}},"required":["a\"b","日"]}"#,
    #"{"enum":[1,"1",true,null,[1,2],{"a":{"b":1}}],"type":["integer","object","array"]}"#,
    #"{"type":"object","additionalProperties":{"type":"array","items":{"type":"object"}}}"#,
    #"{"minimum":3}"#, #"true"#, #"{}"#, #"{"type":"object"}"#,
    #"{"type":["string","integer","boolean","null"],"not":{"enum":["a","\"b",3,0,null,true]}}"#,
    #"{"type":"number","not":{"const":2.5},"minimum":2,"maximum":3}"#,
    #"{"type":"string","not":{"pattern":"^x|y$"},"maxLength":5}"#,
    #"{"not":{"type":["object","array","integer"]}}"#,
    #"{"type":"integer","not":{"anyOf":[{"minimum":5},{"exclusiveMaximum":-5}]}}"#,
    #"{"type":"string","not":{"minLength":3,"maxLength":5}}"#,
    #"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"not":{"required":["a","b"]}}"#,
    #"{"type":"object","properties":{"kind":{"enum":["a","b"]},"x":{"type":"integer"},"y":{"type":"string"}},"required":["kind"],"if":{"properties":{"kind":{"const":"a"}}},"then":{"required":["x"]},"else":{"required":["y"]}}"#,
    ##"{"$defs":{"small":{"type":"integer","maximum":9}},"type":["integer","string"],"if":{"not":{"$ref":"#/$defs/small"}},"then":{"type":"string","minLength":2}}"##,
    #"{"type":"object","properties":{"card":{"type":"integer"},"zip":{"type":"integer"},"city":{"type":"string"}},"dependentRequired":{"card":["zip"],"zip":["city"]}}"#,
    #"{"type":["object","null"],"properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"dependentSchemas":{"a":{"properties":{"b":{"minimum":10}},"required":["b"]}}}"#,
    #"{"type":"object","not":{"required":["a"]}}"#,
    #"{"type":"object","propertyNames":{"pattern":"^[a-c]+$","maxLength":3},"additionalProperties":{"type":"integer"}}"#,
    ##"{"$defs":{"K":{"enum":["x","y\"",1]}},"type":"object","propertyNames":{"$ref":"#/$defs/K"},"additionalProperties":{"type":"boolean"},"properties":{"z":{}}}"##,
  ]

  static func constraint(_ schema: String, _ tokenizer: Tokenizer) throws -> TokenConstraint {
    try TokenConstraint(.jsonSchema(JSON(parsing: schema)), tokenizer: tokenizer)
  }

  /// Texts that follow the masks are JSON and satisfy the schema.
  @Test(arguments: schemas) func documentsAreValid(_ schema: String) throws {
    let tokenizer = try TestVocabulary.mixed(seed: 21)
    let constraint = try Self.constraint(schema, tokenizer)
    let oracle = SchemaOracle(root: try JSON(parsing: schema))
    var sampler = ConstraintSampler(tokenizer: tokenizer, random: SplitMix(state: 5))
    var found = 0
    for length in 0..<40 {
      guard let bytes = try sampler.text(constraint, length: length, most: 1_500) else { continue }
      let document = try JSON(parsing: bytes)
      #expect(try oracle.isValid(document), "\(String(decoding: bytes, as: UTF8.self))")
      found += 1
    }
    #expect(found > 20)
  }

  @Test(arguments: schemas) func masksEqualBruteForce(_ schema: String) throws {
    let tokenizer = try TestVocabulary.mixed(seed: 22, count: 300)
    let constraint = try Self.constraint(schema, tokenizer)
    var random = SplitMix(state: 6)
    var mask = TokenMask(count: 0)
    for _ in 0..<3 {
      var state = constraint.makeState()
      for _ in 0..<20 {
        try state.fillMask(&mask)
        #expect(mask.allowed == bruteForceMask(state, tokenizer))
        let going = mask.allowed.filter { !tokenizer.endOfGeneration.contains($0) }
        guard !going.isEmpty else { break }
        check(state.advance(going[Int(random.next() % UInt64(going.count))]))
      }
    }
  }

  /// Documents that the rules must take, compact and as serializers indent them, and ones they must
  /// not.
  @Test(arguments: [
    (
      0,
      [
        #"{"name":"x","age":0}"#, #"{"name": "é\n\u00e9\ud83d\ude42", "age": 150}"#,
        "{\n  \"name\": \"\",\n  \"age\": 7\n}",
      ],
      [
        #"{"name":"x"}"#, #"{"name":"x","age":151}"#, #"{"name":"x","age":-1}"#,
        #"{"age":1,"name":"x"}"#,
        #"{"name":"x","age":1,"b":2}"#, #"{"name":"\ud83d","age":1}"#, #"{"name":"x","age":01}"#,
        "{\"name\":\"\t\",\"age\":1}",
      ]
    ),
    (1, ["{}", #"{"b":true}"#, #"{"a":null,"c":"z"}"#, #"{"c": null}"#], [#"{"a":1}"#, #"{,}"#]),
    (
      2, [#"{"b":3}"#, #"{"a":1,"b":3,"zz":-4}"#],
      [
        #"{"a":1}"#, #"{"a":2,"b":1}"#, #"{"b":1,"x":"y"}"#,
        #"{"b":1,"a":7}"#, #"{"b":1,"\u0061":7}"#,
      ]
    ),
    (
      3, [#"["a",1.5]"#, #"[null, {"k": [1, "\""]}, "日本"]"#],
      [#"["a"]"#, #"["a","a","a","a","a"]"#]
    ),
    (6, [#"{"v":1,"next":{"v":2,"next":null}}"#], [#"{"v":1}"#, #"{"v":1,"next":{}}"#]),
    (7, [#"{"t":[1,[2,[]],[[3]]]}"#], [#"{"t":[[}"#]),
    (12, ["-37", "0", "9", "1205", "1199", "-1"], ["-38", "1206", "2000", "00", "-0", "1.5"]),
    (13, ["105", "700"], ["99", "98", "106"]),
    (
      15, ["-0.75", "-0.5", "0", "12", "12.49", "12.4999"], ["-0.76", "12.5", "12.50", "13", "-1"]
    ),
    (17, ["3.25", "3.5", "3.50", "3.3", "3.2500"], ["3", "3.2", "3.51", "3.5001", "4"]),
    (29, [#"{"x":[{"y":1}]}"#, "{}"], [#"{"x":[1]}"#]),
    (
      34, [#""b""#, #""""#, "4", "false"],
      [#""a""#, #""\u0061""#, #""\"b""#, "3", "0", "-0", "true", "null"]
    ),
    (35, ["2", "2.49", "2.51", "3"], ["2.5", "2.50", "3.1"]),
    (
      41, [#"{"kind":"a","x":1}"#, #"{"kind":"b","y":""}"#, #"{"kind":"a","x":1,"y":""}"#],
      [#"{"kind":"a"}"#, #"{"kind":"a","y":""}"#, #"{"kind":"b","x":1}"#, #"{"kind":"c"}"#]
    ),
    (
      43, ["{}", #"{"city":"x"}"#, #"{"zip":1,"city":"x"}"#, #"{"card":1,"zip":1,"city":"x"}"#],
      [#"{"card":1}"#, #"{"card":1,"zip":1}"#, #"{"zip":1}"#]
    ),
    (46, ["{}", #"{"ab":1,"c":2}"#], [#"{"d":1}"#, #"{"abcd":1}"#, #"{"":1}"#]),
    (47, ["{}", #"{"x":true,"y\"":false}"#], [#"{"z":1}"#, #"{"1":true}"#, #"{"x":1}"#]),
    (45, ["{}", #"{"b":1}"#], [#"{"a":1}"#, #"{"b":1,"a":1}"#]),
  ])
  func documentsAreTakenOrNot(_ schema: Int, _ good: [String], _ bad: [String]) throws {
    let constraint = try Self.constraint(Self.schemas[schema], TestVocabulary.byteLevel([]))
    func accepts(_ text: String) -> Bool {
      var state = constraint.makeState()
      return state.advance(bytes: text.utf8) && state.isComplete
    }
    for text in good { #expect(accepts(text), "\(text)") }
    for text in bad { #expect(!accepts(text), "\(text)") }
  }

  @Test(arguments: [
    (
      "date", ["2024-02-29", "1999-12-31"],
      ["2023-02-29", "2024-13-01", "1900-02-29", "2024-1-1", "0000-02-29"]
    ),
    ("time", ["12:00:00Z", "23:59:59.5+02:00"], ["24:00:00Z", "12:00Z"]),
    ("date-time", ["2024-02-29T12:00:00Z"], ["2024-02-29 12:00:00Z"]),
    ("duration", ["P1Y2M3DT4H5M6S", "PT1S", "P3W", "P1D"], ["P", "PT", "P1DT", "1D", "P1Y3D"]),
    ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567e89b12d3a456426614174000"]),
    ("email", ["a.b+c@example.org"], ["a@b", "@x.org", "a b@x.org", "a..b@x.org"]),
    ("ipv4", ["0.0.0.0", "255.249.199.9"], ["256.1.1.1", "1.1.1", "01.1.1.1"]),
    (
      "ipv6", ["::", "::1", "1:2:3:4:5:6:7:8", "fe80::1:2", "1::"],
      [":::", "1:2", "1:2:3:4:5:6:7:8:9", "1::2::3"]
    ),
    ("hostname", ["a", "x-1.example"], ["-a", "a-", "a..b"]),
    ("uri", ["https://a.example:80/p/%20?q=1#f"], ["a.example", "https://a b"]),
  ])
  func formats(_ name: String, _ good: [String], _ bad: [String]) throws {
    let constraint = try Self.constraint(
      #"{"type":"string","format":"\#(name)"}"#, TestVocabulary.byteLevel([]))
    for text in good + bad {
      var state = constraint.makeState()
      let taken = state.advance(bytes: "\"\(text)\"".utf8) && state.isComplete
      #expect(taken == good.contains(text), "\(text)")
    }
  }

  @Test(arguments: [
    (#"{"type":"strin"}"#, "#/type"),
    (
      #"{"properties":{"a":{"not":{"items":{}}}}}"#, "#/properties/a/not/items"
    ),
    (##"{"$ref":"#/$defs/x"}"##, "#/$ref"), (##"{"$ref":"https://x"}"##, "#/$ref"),
    (##"{"$ref":"#"}"##, "#"),
    (##"{"allOf":[{"$ref":"#"}]}"##, "#"), (#"{"type":"string","pattern":"(?=a)"}"#, "#/pattern"),
    (#"{"properties":{"a/b":{"minContains":1}}}"#, "#/properties/a~1b/minContains"),
    (
      #"{"not":{"properties":{"a":{"properties":{"b":{"multipleOf":2}}}}}}"#,
      "#/not/properties/a/properties/b/multipleOf"
    ),
    (#"{"not":{"const":[1]}}"#, "#/not/const"), (##"{"not":{"$ref":"#"}}"##, "#"),
    (#"{"if":{"oneOf":[{}]},"else":false}"#, "#/if/oneOf"),
    (#"{"dependentRequired":{"a":1}}"#, "#/dependentRequired/a"),
    (#"{"unevaluatedProperties":false}"#, "#/unevaluatedProperties"),
    (#"{"minLength":-1}"#, "#/minLength"),
    (#"{"uniqueItems":true}"#, "#/uniqueItems"),
    (#"{"items":{"contains":{}}}"#, "#/items/contains"),
    (#"{"oneOf":[{"type":"string"},{"type":"string","maxLength":3}]}"#, "#/oneOf"), (#"[]"#, "#"),
    (#"{"anyOf":[]}"#, "#/anyOf"), (#"{"format":"regex"}"#, "#/format"),
    (#"{"multipleOf":0.3}"#, "#/multipleOf"),
    (#"{"enum":3}"#, "#/enum"), (#"{"required":[1]}"#, "#/required"),
    (#"{"properties":3}"#, "#/properties"),
  ])
  func mistakesHaveAPath(_ schema: String, path: String) throws {
    let error = #expect(throws: ConstraintError.self) {
      try Self.constraint(schema, TestVocabulary.byteLevel([]))
    }
    guard case .schema(let found, _)? = error else {
      Issue.record("\(schema): \(String(describing: error))")
      return
    }
    #expect(found == path, "\(schema): \(String(describing: error))")
  }

  @Test(arguments: [
    #"false"#, #"{"type":"integer","minimum":5,"maximum":4}"#, #"{"enum":[1],"type":"string"}"#,
    ##"{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}"##, #"{"enum":[]}"#,
    #"{"type":"array","items":false,"minItems":1}"#,
    #"{"type":"string","minLength":4,"maxLength":3}"#, #"{"not":{}}"#,
    #"{"const":1,"not":{"type":"integer"}}"#,
  ])
  func whatNothingSatisfiesIsRefused(_ schema: String) throws {
    let error = #expect(throws: ConstraintError.self) {
      try Self.constraint(schema, TestVocabulary.byteLevel([]))
    }
    guard case .unsatisfiable? = error else {
      Issue.record("\(schema): \(String(describing: error))")
      return
    }
  }

  @Test func hostileSchemasAreRefused() throws {
    let chain = (0..<500).map { ##""d\##($0)":{"$ref":"#/$defs/d\##($0 + 1)"}"## }.joined(
      separator: ",")
    let wide =
      #"{"anyOf":["# + Array(repeating: #"{"minLength":1}"#, count: 40).joined(separator: ",")
      + "]}"
    for schema in [
      ##"{"$defs":{\##(chain)},"$ref":"#/$defs/d0"}"##,
      #"{"allOf":[\#(wide),\#(wide),\#(wide)]}"#,
      #"{"type":"string","minLength":1000000}"#,
      #"{"type":"string","pattern":"(a|b)*a(a|b){60}"}"#,
      #"{"type":"string","pattern":"((x{100}){100}){100}"}"#,
    ] {
      #expect(throws: ConstraintError.self) {
        try Self.constraint(schema, TestVocabulary.byteLevel([]))
      }
    }
  }

  @Test(
    arguments: [
      (
        #"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#,
        nil
      ),
      (#"{"type":"string"}"#, "#"),
      (#"{"type":"object","properties":{"a":{}},"required":[],"additionalProperties":false}"#, "#"),
      (
        #"{"type":"object","properties":{"a":{"type":"object"}},"required":["a"],"additionalProperties":false}"#,
        "#/properties/a"
      ),
      (
        #"{"type":"object","properties":{"a":{"items":{"allOf":[]}}},"required":["a"],"additionalProperties":false}"#,
        "#/properties/a/items/allOf"
      ),
    ] as [(String, String?)])
  func strictModeHasItsRules(_ schema: String, path: String?) throws {
    let json = try JSON(parsing: schema)
    var found: String?
    do throws(ConstraintError) {
      try ConstraintGrammar.checkStrict(json)
    } catch {
      if case .schema(let path, _) = error { found = path }
    }
    #expect(found == path)
  }
}
