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
