/// A generation of NVIDIA GPUs that kernels are compiled for.
public enum CUDAArchitecture: String, Sendable, Hashable, CaseIterable {
  case sm80 = "sm_80"
  case sm86 = "sm_86"
  case sm89 = "sm_89"
  case sm90a = "sm_90a"
  case sm100 = "sm_100"
}

/// A kernel as text for NVRTC, and how it is launched.
public struct CUDASource: Sendable, Hashable {
  /// A name for people.
  public var name: String
  /// CUDA C++.
  public var text: String
  /// What it is compiled for.
  public var architecture: CUDAArchitecture
  /// The kernels' names in the text.
  public var entryPoints: [String]
  /// Shared memory that a launch asks for.
  public var dynamicSharedBytes: Int
  /// Threads of a block.
  public var threads: Int

  /// A source.
  public init(
    name: String, text: String, architecture: CUDAArchitecture, entryPoints: [String],
    dynamicSharedBytes: Int, threads: Int
  ) {
    self.name = name
    self.text = text
    self.architecture = architecture
    self.entryPoints = entryPoints
    self.dynamicSharedBytes = dynamicSharedBytes
    self.threads = threads
  }
}

extension CUDASource {
  private static let originMark = "// of "

  /// A comment that says what the next line was made of, in its author's words.
  package static func origin(_ words: String) -> String {
    // A line that ends with a backslash goes on in the next.
    originMark + words.filter { !$0.isNewline && $0 != "\\" }
  }

  /// A compiler's log in which every line that names one of the text's, as `name.cu(12): error: …`, is
  /// followed by that line and by what it was made of.
  package static func explained(_ log: String, of text: String) -> String {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    return log.split(separator: "\n", omittingEmptySubsequences: false).map { said in
      guard let open = said.firstIndex(of: "("), let close = said[open...].firstIndex(of: ")"),
        let number = Int(said[said.index(after: open)..<close]), lines.indices.contains(number - 1)
      else { return String(said) }
      let line = "\(said)\n  \(number): \(lines[number - 1])"
      guard number > 1 else { return line }
      let before = lines[number - 2].drop { $0 == " " }
      return before.hasPrefix(originMark)
        ? "\(line)\n  from the variant \(before.dropFirst(originMark.count))" : line
    }.joined(separator: "\n")
  }
}
