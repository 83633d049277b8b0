_base_ = "../../ablations/bccd/lors.py"
