# aule._core: the Python extension. Built by scikit-build-core (pyproject.toml); one abi3 module from Python 3.12 on.
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module OPTIONAL_COMPONENTS Development.SABIModule)
execute_process(COMMAND ${Python_EXECUTABLE} -m nanobind --cmake_dir OUTPUT_VARIABLE nanobind_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE
                COMMAND_ERROR_IS_FATAL ANY)
find_package(nanobind CONFIG REQUIRED)
nanobind_add_module(_core STABLE_ABI NB_STATIC python/bindings.cpp python/context_bindings.cpp)
target_link_libraries(_core PRIVATE aule)
install(TARGETS _core LIBRARY DESTINATION aule COMPONENT python)
