import Checkpoints
import Tensors
import Testing

/// A safetensors file of the given header and data.
func safetensors(_ header: String, data: Int, declared: UInt64? = nil) -> [UInt8] {
  let length = declared ?? UInt64(header.utf8.count)
  return withUnsafeBytes(of: length.littleEndian, Array.init) + Array(header.utf8)
    + (0..<data).map { UInt8(truncatingIfNeeded: $0) }
}

@Suite struct SafetensorsTests {
  private func open(_ bytes: [UInt8]) throws -> SafetensorsFile {
    try bytes.withUnsafeBytes { try SafetensorsFile(MappedFile(copying: $0, name: "memory")) }
  }

  private func problem(_ bytes: [UInt8]) throws -> SafetensorsFile.Malformed.Problem {
    try #require(#expect(throws: SafetensorsFile.Malformed.self) { try open(bytes) }).problem
  }

  @Test func aFileIsRead() throws {
    let file = try open(
      safetensors(
        """
        {"__metadata__": {"format": "pt"},
         "b": {"dtype": "I8", "shape": [2, 2], "data_offsets": [4, 8]},
         "a\\u00e9\\ud83d\\ude00": {"shape": [1], "extra": [{"x": null}, -1.5e3, true],
            "dtype": "F32", "data_offsets": [0, 4]},
         "none": {"dtype": "F32", "shape": [0, 7], "data_offsets": [8, 8]},
         "mask": {"dtype": "BOOL", "shape": [], "data_offsets": [8, 9]}}
        """, data: 9))
    #expect(file.metadata == ["format": "pt"])
    #expect(file.tensorNames == ["a\u{E9}\u{1F600}", "b", "none", "mask"])
    let b = try #require(try file.tensor(named: "b"))
    #expect(b.shape == [2, 2] && b.type == .int8 && b.dequantized() == [4, 5, 6, 7])
    let a = try #require(try file.tensor(named: "a\u{E9}\u{1F600}"))
    #expect(a.dequantized() == [Float(bitPattern: 0x0302_0100)])
    #expect(try file.tensor(named: "none")?.dequantized() == [])
    #expect(try file.tensor(named: "absent") == nil)
    let error = #expect(throws: SafetensorsFile.Malformed.self) { try file.tensor(named: "mask") }
    #expect(error?.problem == .unsupportedType(tensor: "mask", "BOOL"))
  }

  @Test func lengths() throws {
    #expect(try problem([1, 2, 3]) == .tooShort(3))
    for declared: UInt64 in [3, 1 << 40, .max, 1 << 63] {
      #expect(
        try problem(safetensors("{}", data: 0, declared: declared))
          == .headerLength(declared, available: 2))
    }
  }

  @Test(arguments: [
    "", " ", "[]", "{", "{\"a\"", "{\"a\":", "{\"a\":{}}", "{\"a\": 1}", "{} x", "{\"a\":{},}",
    "{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[1,0]}}",
    "{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0]}}",
    "{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}",
    "{\"a\":{\"dtype\":\"I8\",\"shape\":[-1],\"data_offsets\":[0,1]}}",
    "{\"a\":{\"dtype\":\"I8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}",
    "{\"a\":{\"dtype\":\"I8\",\"shape\":[1e0],\"data_offsets\":[0,1]}}",
    "{\"a\":{\"dtype\":\"I8\",\"shape\":[99999999999999999999],\"data_offsets\":[0,1]}}",
    "{\"a\":{\"dtype\":\"I8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}",
    "{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}",
    "{\"\\ud800\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
    "{\"\\ud800\\u0041\":{}}", "{\"\\u12\":{}}", "{\"\\x\":{}}", "{\"\n\":{}}", "{\"a\\",
    "{\"__metadata__\":{\"a\":1}}", "{\"__metadata__\":[]}",
    "{\"a\":{\"z\":" + String(repeating: "[", count: 100_000),
    "{\"a\":{\"z\":" + String(repeating: "{\"k\":", count: 100_000),
    "{\"a\":{\"z\":" + String(repeating: "1", count: 100_000),
    "{\"a\":{\"z\":01}}", "{\"a\":{\"z\":-}}", "{\"a\":{\"z\":1.}}", "{\"a\":{\"z\":1e}}",
    "{\"a\":{\"z\":tru}}", "{\"a\":{\"z\":nul",
  ])
  func malformedHeaders(header: String) throws {
    guard case .json = try problem(safetensors(header, data: 1)) else {
      Issue.record("expected an error of JSON")
      return
    }
  }

  @Test func bytesThatAreNotText() throws {
    var bytes = safetensors("{\"a\":{}}", data: 0)
    bytes[10] = 0xFF
    #expect(try problem(bytes) == .json(expected: "a string in UTF-8"))
  }

  @Test func dataOffsets() throws {
    func entry(_ name: String, _ type: String, _ shape: [Int], _ start: Int, _ end: Int) -> String {
      "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[\(start),\(end)]}"
    }
    func problem(_ entries: [String], data: Int) throws -> SafetensorsFile.Malformed.Problem {
      try self.problem(safetensors("{\(entries.joined(separator: ","))}", data: data))
    }
    let a = entry("a", "F32", [1], 0, 4)
    #expect(try problem([a], data: 5) == .trailingBytes(1))
    #expect(
      try problem([a], data: 3)
        == .offsets(tensor: "a", 0..<4, expectedStart: 0, available: 3))
    #expect(
      try problem([a, entry("b", "I8", [2], 3, 5)], data: 5)
        == .offsets(tensor: "b", 3..<5, expectedStart: 4, available: 5))
    #expect(
      try problem([a, entry("b", "I8", [2], 5, 7)], data: 7)
        == .offsets(tensor: "b", 5..<7, expectedStart: 4, available: 7))
    #expect(
      try problem([entry("a", "F32", [2], 0, 4)], data: 4)
        == .size(tensor: "a", shape: [2], type: "F32", bytes: 4))
    let overflowing = [1 << 32, 1 << 32, 4]
    #expect(
      try problem([entry("a", "F64", overflowing, 0, 4)], data: 4)
        == .size(tensor: "a", shape: overflowing, type: "F64", bytes: 4))
    #expect(try problem([a, a], data: 4) == .duplicateTensor("a"))
    #expect(try problem([entry("a", "Q9", [1], 0, 4)], data: 4) == .unknownType(tensor: "a", "Q9"))
  }

  @Test func aFolderOfShards() throws {
    let folder = try TemporaryFolder()
    let one = "{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}"
    let two = "{\"b\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[0,2]}}"
    _ = try folder.write(safetensors(one, data: 1), to: "m-1.safetensors")
    _ = try folder.write(safetensors(two, data: 2), to: "m-2.safetensors")
    func index(_ map: String) throws {
      _ = try folder.write(
        Array("{\"metadata\": {\"total_size\": 3}, \"weight_map\": {\(map)}}".utf8),
        to: "model.safetensors.index.json")
    }
    try index("\"a\": \"m-1.safetensors\", \"b\": \"m-2.safetensors\"")
    _ = try folder.write(
      Array("{\"model_type\": \"llama\", \"rope\": {\"theta\": 1e4}, \"n\": 3}".utf8),
      to: "config.json")
    guard case .safetensors(let model) = try OpenedCheckpoint.open(path: folder.path) else {
      Issue.record("expected safetensors")
      return
    }
    #expect(model.tensorNames == ["a", "b"])
    #expect(try model.tensor(named: "b")?.dequantized() == [0, 1])
    #expect(model.config?["model_type"]?.string == "llama")
    #expect(model.config?["rope"]?["theta"]?.number == 10_000)
    #expect(model.config?["n"]?.integer == 3)

    func problem() throws -> SafetensorsFolder.Malformed.Problem {
      try #require(
        #expect(throws: SafetensorsFolder.Malformed.self) {
          try SafetensorsFolder(path: folder.path)
        }
      ).problem
    }
    try index("\"a\": \"m-2.safetensors\", \"b\": \"m-2.safetensors\"")
    #expect(try problem() == .missingTensor("a", file: "m-2.safetensors"))
    for name in ["../m-1.safetensors", "/etc/passwd", "", ".."] {
      try index("\"a\": \"\(name)\"")
      #expect(try problem() == .fileName(name))
    }
    try index("\"a\": \"m-3.safetensors\"")
    #expect(throws: MappedFile.Failure.self) { try SafetensorsFolder(path: folder.path) }
  }

  @Test func formatsAreToldByContent() throws {
    let folder = try TemporaryFolder()
    #expect(throws: SafetensorsFolder.Malformed.self) {
      try OpenedCheckpoint.open(path: folder.path)
    }
    let text = try folder.write(Array("hello, world".utf8), to: "model.gguf")
    #expect(throws: OpenedCheckpoint.NotACheckpoint.self) { try OpenedCheckpoint.open(path: text) }
    let single = try folder.write(
      safetensors("{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", data: 1),
      to: "x.bin")
    #expect(try OpenedCheckpoint.open(path: single).tensors.tensorNames == ["a"])
    let gguf = try folder.write(GGUFWriter().bytes(), to: "y.bin")
    #expect(try OpenedCheckpoint.open(path: gguf).tensors.tensorNames == [])
  }
}
